// Work shared out over the threads of the OpenMP that torch itself runs on, so that there is one pool of threads and not two that
// take each other's cores.
#pragma once

#include <immintrin.h>

#include <atomic>
#include <cstdint>

namespace textmill {

using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
inline Parallel openmp = nullptr;  // GNU OpenMP's `GOMP_parallel`; null: the caller's thread does all

// Have `task(piece)` called for each of `pieces`, by whichever thread is free, with the caller's rounding of denormals. What a piece
// is doesn't depend on the threads, so neither do the numbers.
template <class Task>
void share_out(int threads, int64_t pieces, const Task& task) {
  struct Work {
    const Task& task;
    int64_t pieces;
    unsigned rounding;
    std::atomic<int64_t> next{0};
  } work{task, pieces, _mm_getcsr()};
  const auto turn = [](void* of) {
    Work& shared = *static_cast<Work*>(of);
    const unsigned before = _mm_getcsr();
    _mm_setcsr(shared.rounding);
    for (int64_t piece; (piece = shared.next.fetch_add(1, std::memory_order_relaxed)) < shared.pieces;) shared.task(piece);
    _mm_setcsr(before);
  };
  if (threads > 1 && pieces > 1 && openmp) {
    openmp(turn, &work, (unsigned)threads, 0);
  } else {
    turn(&work);
  }
}

// The rows of a piece, of `pieces` about equal ones.
struct Rows {
  int64_t begin, end;
  Rows(int64_t piece, int64_t pieces, int64_t rows) : begin(rows * piece / pieces), end(rows * (piece + 1) / pieces) {}
};

}  // namespace textmill
