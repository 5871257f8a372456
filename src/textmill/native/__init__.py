"""C++ kernels for a CPU, which are optional: torch's plain path stands beside them, and takes over where they aren't."""
