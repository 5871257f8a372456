// How threads of a pool wait for each other: they spin at first, since to wake one takes longer than most waits, then sleep.
#pragma once

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace textmill {

// A count that threads wait for, to go on. They sleep by the system's own call: std::atomic's `wait` yields before it sleeps, and
// whoever yields beside a busy program gives a whole time slice away, in which nobody can wake it.
class Signal {
 public:
  uint32_t count() const { return value.load(std::memory_order_acquire); }

  void raise() {
    value.fetch_add(1);  // before `sleepers` is read, as whoever sleeps counts itself before it looks at the value
    if (sleepers.load()) wake();
  }

  // Sleep until it isn't `old` any more, or for no reason.
  void sleep_while(uint32_t old) {
    sleepers.fetch_add(1);
#ifdef __linux__
    syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
#else
    value.wait(old);
#endif
    sleepers.fetch_sub(1);
  }

 private:
  void wake() {
#ifdef __linux__
    syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#else
    value.notify_all();
#endif
  }

  alignas(64) std::atomic<uint32_t> value{0};
  alignas(64) std::atomic<int> sleepers{0};
};

// For how many turns threads spin before they sleep: `most` at first. After a time that they did in vain, half as many, and after
// each other time `gain` more. So on a quiet machine they hardly ever sleep; beside a busy program, which takes the core of the
// thread that is waited for, they soon leave their own to whoever has work.
class Patience {
 public:
  Patience(int most, int gain) : most(most), gain(gain), turns(most) {}

  // Wait until `signal` isn't `old` any more.
  void wait_while(Signal& signal, uint32_t old) {
    const int now = turns.load(std::memory_order_relaxed);  // others may change it meanwhile: it is a rough figure
    for (int turn = 0; turn < now; ++turn) {
      if (signal.count() != old) {
        if (now < most) turns.store(std::min(now + gain, most), std::memory_order_relaxed);
        return;
      }
      __builtin_ia32_pause();
    }
    turns.store(std::max(now / 2, std::min(LEAST, most)), std::memory_order_relaxed);
    while (signal.count() == old) signal.sleep_while(old);
  }

 private:
  static constexpr int LEAST = 300;  // a turn takes some 50 ns
  const int most, gain;
  alignas(64) std::atomic<int> turns;
};

}  // namespace textmill
