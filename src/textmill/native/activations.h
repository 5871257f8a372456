// What stands between a feed-forward's products, act(gate) · up or act(up), and its gradient.
#pragma once

#include <initializer_list>

#include "lanes.h"

namespace textmill {

enum Activation : int32_t { SILU, GELU, GELU_TANH, RELU };

struct Activated {
  Floats value, slope;
};

template <Activation KIND>
inline Activated activated(Floats x) {
  const Floats one = all(1.0f), none = zero();
  if constexpr (KIND == RELU) return {larger(x, none), choose_greater(x, none, one, none)};
  if constexpr (KIND == GELU) {  // x · Φ(x), with the error function of Abramowitz & Stegun 1964, 7.1.26, good to 1.5e-7
    const Floats power = exponential(multiply(multiply(x, x), all(-0.5f)));
    const Floats t = divide(one, multiply_add(absolute(x), all(0.3275911f * 0.70710678f), one));
    Floats tail = all(0.5f * 1.061405429f);
    for (float coefficient : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f})
      tail = multiply_add(tail, t, all(0.5f * coefficient));
    tail = multiply(multiply(tail, t), power);  // Φ(-|x|)
    const Floats share = choose_greater(x, none, subtract(one, tail), tail);
    return {multiply(x, share), multiply_add(multiply(x, power), all(0.39894228f), share)};
  }
  Floats inner = x, growth = one;  // SiLU is x · σ(x), and GELU's tanh is x · σ(2u)
  if constexpr (KIND == GELU_TANH) {
    const Floats squares = multiply(x, x), twice = all(1.59576912f);
    inner = multiply(multiply(x, twice), multiply_add(squares, all(0.044715f), one));
    growth = multiply(twice, multiply_add(squares, all(3 * 0.044715f), one));
  }
  const Floats share = divide(one, add(one, exponential(subtract(none, inner))));
  return {multiply(x, share), multiply(share, multiply_add(multiply(x, growth), subtract(one, share), one))};
}

// Numbers (rows, width), a multiple of sixteen, whose rows lie `apart`; gate: null where there is none.
struct Inner {
  int32_t kind, threads;
  int64_t rows, width, apart;
  const float *gate, *up;
};

// The value of `count` numbers of a row from `at` on.
template <Activation KIND>
inline void activate(const Inner& inner, int64_t at, int64_t count, float* y) {
  for (int64_t i = 0; i < count; i += 16) {
    const Floats up = load(inner.up + at + i);
    store(y + i, inner.gate ? multiply(activated<KIND>(load(inner.gate + at + i)).value, up) : activated<KIND>(up).value);
  }
}

// The value again, and of its gradient those of gate and up, whose rows lie as these do.
template <Activation KIND>
inline void activate_backward(const Inner& inner, int64_t at, int64_t count, const float* given, float* y, float* of_gate, float* of_up) {
  for (int64_t i = 0; i < count; i += 16) {
    const Floats gradient = load(given + i), up = load(inner.up + at + i);
    const Activated found = activated<KIND>(inner.gate ? load(inner.gate + at + i) : up);
    if (inner.gate) {
      store(y + i, multiply(found.value, up));
      store(of_gate + at + i, multiply(multiply(gradient, up), found.slope));
      store(of_up + at + i, multiply(gradient, found.value));
    } else {
      store(y + i, found.value);
      store(of_up + at + i, multiply(gradient, found.slope));
    }
  }
}

// Have `task` called with the activation as a constant.
template <class Task>
void by_kind(int32_t kind, const Task& task) {
  switch (kind) {
    case GELU: return task.template operator()<GELU>();
    case GELU_TANH: return task.template operator()<GELU_TANH>();
    case RELU: return task.template operator()<RELU>();
    default: return task.template operator()<SILU>();
  }
}

}  // namespace textmill
