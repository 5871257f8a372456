// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) of one row.
#pragma once

#include <cmath>
#include <cstring>

#include "lanes.h"

namespace textmill {

struct Norm {
  const float* weight;  // null: nothing is done
  const float* bias;    // null: none
  int32_t takes_mean;   // layer norm, else RMS norm
  float epsilon;
};

// out = norm(x), of `width` numbers, a multiple of sixteen; out may be x.
inline void normalise(const Norm& norm, const float* x, int64_t width, float* out) {
  if (norm.weight == nullptr) {
    if (out != x) std::memcpy(out, x, width * sizeof(float));
    return;
  }
  Floats total = zero(), squares = zero();
  for (int64_t i = 0; i < width; i += 16) total = add(total, load(x + i));
  const float mean = norm.takes_mean ? sum(total) / width : 0.0f;
  for (int64_t i = 0; i < width; i += 16) {
    const Floats apart = subtract(load(x + i), all(mean));
    squares = multiply_add(apart, apart, squares);
  }
  const Floats inverse = all(1.0f / std::sqrt(sum(squares) / width + norm.epsilon));
  for (int64_t i = 0; i < width; i += 16) {
    const Floats normal = multiply(multiply(subtract(load(x + i), all(mean)), inverse), load(norm.weight + i));
    store(out + i, norm.bias ? add(normal, load(norm.bias + i)) : normal);
  }
}

}  // namespace textmill
