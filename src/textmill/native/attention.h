// What a query of one token finds in the keys and values of its row.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lanes.h"

namespace textmill {

constexpr int SLICE = 4;  // times sixteen numbers of the values are mixed at once, in registers

struct Attention {
  const float *keys, *values;  // (rows, key_value_heads, length, head_dim); head_dim: a multiple of sixteen
  int64_t length, head_dim, key_value_heads, groups, window;
  const float* slopes;

  // One head's query: softmax(q · kᵀ / √d + bias) · v. `scores`: length + 16.
  void look(int64_t row, int64_t place, int64_t head, const float* query, float* found, float* scores) const {
    const int64_t start = window && place + 1 > window ? place + 1 - window : 0, count = place + 1 - start;
    const int64_t from = ((row * key_value_heads + head / groups) * length + start) * head_dim;
    compare(query, keys + from, count, slopes ? slopes[head] : 0.0f, scores);
    const float inverse = 1.0f / soften(scores, count);
    for (int64_t lane = 0; lane < head_dim / 16; lane += SLICE) {
      const float* at = values + from + lane * 16;
      switch (std::min<int64_t>(SLICE, head_dim / 16 - lane)) {
        case 1: mix<1>(at, count, scores, inverse, found + lane * 16); break;
        case 2: mix<2>(at, count, scores, inverse, found + lane * 16); break;
        case 3: mix<3>(at, count, scores, inverse, found + lane * 16); break;
        default: mix<SLICE>(at, count, scores, inverse, found + lane * 16);
      }
    }
  }

 private:
  // A few keys side by side, each summed up in a register of its own; each score has the same bits wherever it stands.
  void compare(const float* query, const float* from, int64_t count, float slope, float* scores) const {
    const float scale = 1.0f / std::sqrt((float)head_dim);
    for (int64_t key = 0; key < count; key += KEYS) {
      const float* at[KEYS];
      for (int i = 0; i < KEYS; ++i) at[i] = from + std::min(key + i, count - 1) * head_dim;
      Floats sums[KEYS];
      for (int i = 0; i < KEYS; ++i) sums[i] = zero();
      for (int64_t lane = 0; lane < head_dim; lane += 16) {
        const Floats part = load(query + lane);
        for (int i = 0; i < KEYS; ++i) sums[i] = multiply_add(part, load(at[i] + lane), sums[i]);
      }
      store_sums(scores + key, sums);
      for (int i = 0; i < KEYS; ++i) scores[key + i] = scores[key + i] * scale - slope * (float)(count - 1 - key - i);
    }
  }

  // Each score becomes e to its power over the largest's; returns the sum of all.
  static float soften(float* scores, int64_t count) {
    const int64_t padded = (count + 15) / 16 * 16;
    for (int64_t key = count; key < padded; ++key) scores[key] = -std::numeric_limits<float>::infinity();
    Floats most = load(scores), total = zero();
    for (int64_t key = 16; key < padded; key += 16) most = larger(most, load(scores + key));
    const Floats top = all(largest(most));
    for (int64_t key = 0; key < padded; key += 16) {
      const Floats weight = exponential(subtract(load(scores + key), top));
      store(scores + key, weight);
      if (key + 16 <= count) total = add(total, weight);
    }
    float sum_of_all = sum(total);
    for (int64_t key = count / 16 * 16; key < count; ++key) sum_of_all += scores[key];
    return sum_of_all;
  }

  // N times sixteen numbers of the values, by even keys and by odd ones: twice as many sums that needn't wait for each other.
  template <int N>
  void mix(const float* from, int64_t count, const float* weights, float inverse, float* found) const {
    Floats even[N], odd[N];
    for (int i = 0; i < N; ++i) even[i] = odd[i] = zero();
    int64_t key = 0;
    for (; key + 1 < count; key += 2) {
      const Floats first = all(weights[key]), second = all(weights[key + 1]);
      const float* at = from + key * head_dim;
      for (int i = 0; i < N; ++i) {
        even[i] = multiply_add(first, load(at + i * 16), even[i]);
        odd[i] = multiply_add(second, load(at + head_dim + i * 16), odd[i]);
      }
    }
    if (key < count)
      for (int i = 0; i < N; ++i) even[i] = multiply_add(all(weights[key]), load(from + key * head_dim + i * 16), even[i]);
    for (int i = 0; i < N; ++i) store(found + i * 16, multiply(add(even[i], odd[i]), all(inverse)));
  }
};

}  // namespace textmill
