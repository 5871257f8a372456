"""`python -m textmill` is `textmill`."""

from .cli import main

main()
