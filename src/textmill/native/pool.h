// Threads that work on one thing together, and share it out as they go: whoever is ready takes the next piece, so that a thread
// beside a busy neighbour holds the others up by one piece at most.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "waiting.h"

namespace textmill {

// Memory that is used again from call to call, and grows with the largest of them.
class Scratch {
 public:
  // From now on everything is given anew.
  void reset() { next = 0; }

  // Raises std::bad_alloc.
  template <class T>
  T* take(int64_t count) {
    if (next == pieces.size()) pieces.emplace_back();
    Piece& piece = pieces[next++];
    const size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    if (piece.bytes < bytes) {
      piece.bytes = 0;
      piece.memory.reset(std::aligned_alloc(64, bytes));
      if (!piece.memory) throw std::bad_alloc();
      piece.bytes = bytes;
    }
    return (T*)piece.memory.get();
  }

 private:
  struct Piece {
    std::unique_ptr<void, void (*)(void*)> memory{nullptr, std::free};
    size_t bytes = 0;
  };
  std::vector<Piece> pieces;
  size_t next = 0;
};

class Pool {
 public:
  // `briefly`: hardly any time is spent waiting for the next task, since other threads have work in between.
  Pool(int threads, bool briefly) : size(threads), for_tasks(briefly ? 300 : 20'000, 200) {
    for (int thread = 1; thread < threads; ++thread) workers.emplace_back([this, thread] { work(thread); });
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    ended = true;
    started.raise();
    for (std::thread& worker : workers) worker.join();
  }

  const int size;
  Scratch scratch;

  // Have every thread call `task(thread)`; returns when all have.
  void run(const std::function<void(int)>& task) {
    current = &task;
    started.raise();
    task(0);
    barrier();
  }

  // The next of `count` pieces that nobody has taken yet since the last barrier; none are left from `count` on.
  int64_t take() { return taken.fetch_add(1, std::memory_order_relaxed); }

  // Wait until every thread of the task is here.
  void barrier() {
    const uint32_t round = rounds.count();
    if (arrived.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
      arrived.store(0, std::memory_order_relaxed);
      taken.store(0, std::memory_order_relaxed);
      rounds.raise();
      return;
    }
    for_others.wait_while(rounds, round);
  }

 private:
  void work(int thread) {
    for (uint32_t seen = 0;; ++seen) {
      for_tasks.wait_while(started, seen);
      if (ended) return;
      (*current)(thread);
      barrier();
    }
  }

  std::vector<std::thread> workers;
  const std::function<void(int)>* current = nullptr;
  Patience for_tasks, for_others{2'000, 1};
  Signal started, rounds;
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<int64_t> taken{0};
  bool ended = false;
};

}  // namespace textmill
