// The scale, and for sixteen levels the lowest value, with which whole numbers stand for a group of weights with the least squared
// error.
#pragma once

#include "rounding.h"

namespace textmill {

// For so many steps from a group's lowest weight to its highest, each weight takes the nearest step, and the line through the
// steps that lies nearest to the weights is found; the best of these lines is kept (as llama.cpp does for its Q4_K).
constexpr float FEWEST_STEPS = 9.0f, MOST_STEPS = 15.5f, FINER = 0.25f, LAST_LEVEL = 15.0f;

// In 8 bits the largest weight becomes a number from -128 to -112, and the scale has whatever sign that takes: weights that were
// short before have often one of these scales that loses nothing.
constexpr float MOST_NUMBER = 128.0f, LEAST_NUMBER = 112.0f, OTHER_END = -127.0f;

// `weights` (GROUP, LANES): a group of sixteen outputs; `scale` (LANES).
inline void fit_scale(const float* weights, float* scale) {
  Floats largest_one = zero();
  for (int k = 0; k < GROUP; ++k) {
    const Floats weight = load(weights + k * LANES);
    largest_one = choose_greater(absolute(weight), absolute(largest_one), weight, largest_one);
  }
  const Floats inverse = choose_greater(absolute(largest_one), zero(), divide(all(1.0f), largest_one), zero());
  Floats parts[GROUP];  // of the largest
  for (int k = 0; k < GROUP; ++k) parts[k] = multiply(load(weights + k * LANES), inverse);
  Floats best = all(-1.0f), best_slope = zero();
  for (float number = MOST_NUMBER; number >= LEAST_NUMBER; --number) {
    Floats squares = zero(), products = zero();
    for (int k = 0; k < GROUP; ++k) {
      const Floats level = larger(nearest(multiply(parts[k], all(number))), all(OTHER_END));
      squares = multiply_add(level, level, squares);
      products = multiply_add(level, parts[k], products);
    }
    const Floats slope = divide(products, larger(squares, all(1.0f))), explained = multiply(slope, products);
    best_slope = choose_greater(explained, best, slope, best_slope);
    best = larger(best, explained);
  }
  store(scale, multiply(multiply(best_slope, largest_one), all(-1.0f)));
}

// The same, and `lowest` (LANES).
inline void fit_line(const float* weights, float* scale, float* lowest) {
  Floats low = load(weights), high = low;
  for (int k = 1; k < GROUP; ++k) {
    low = smaller(low, load(weights + k * LANES));
    high = larger(high, load(weights + k * LANES));
  }
  const Floats range = subtract(high, low), inverse = choose_greater(range, zero(), divide(all(1.0f), range), zero());
  Floats parts[GROUP], total = zero();  // where each weight lies, from 0 to 1
  for (int k = 0; k < GROUP; ++k) {
    parts[k] = multiply(subtract(load(weights + k * LANES), low), inverse);
    total = add(total, parts[k]);
  }
  const Floats count = all((float)GROUP);
  Floats best = all(-1.0f), best_slope = zero(), best_start = zero();
  for (float steps = FEWEST_STEPS; steps <= MOST_STEPS; steps += FINER) {
    Floats sum = zero(), squares = zero(), products = zero();
    for (int k = 0; k < GROUP; ++k) {
      const Floats level = smaller(nearest(multiply(parts[k], all(steps))), all(LAST_LEVEL));
      sum = add(sum, level);
      squares = multiply_add(level, level, squares);
      products = multiply_add(level, parts[k], products);
    }
    const Floats apart = subtract(multiply(count, squares), multiply(sum, sum));
    const Floats slope = divide(subtract(multiply(count, products), multiply(sum, total)), larger(apart, all(1.0f)));
    const Floats start = divide(subtract(total, multiply(slope, sum)), count);
    const Floats explained = multiply_add(slope, products, multiply(start, total));
    best_slope = choose_greater(explained, best, slope, best_slope);
    best_start = choose_greater(explained, best, start, best_start);
    best = larger(best, explained);
  }
  store(scale, multiply(best_slope, range));
  store(lowest, multiply_add(best_start, range, low));
}

}  // namespace textmill
