// What the queries of one token find in the keys and values of its row.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lanes.h"

namespace textmill {

constexpr int MOST_HEAD_LANES = 16;  // a head has at most so many times sixteen numbers

struct Attention {
  const float *keys, *values;  // (rows, key_value_heads, length, head_dim); head_dim: a multiple of sixteen
  int64_t length, head_dim, key_value_heads, groups, window;
  const float* slopes;

  // `groups` queries of one token share a head's keys: softmax(q · kᵀ / √d + bias) · v. `scores`: groups · (length + 16).
  void look(int64_t row, int64_t place, int64_t head, const float* queries, float* found, float* scores) const {
    const int64_t start = window && place + 1 > window ? place + 1 - window : 0, count = place + 1 - start;
    const int64_t from = ((row * key_value_heads + head) * length + start) * head_dim, padded = (count + 15) / 16 * 16;
    const float scale = 1.0f / std::sqrt((float)head_dim);
    for (int64_t group = 0; group < groups; ++group) {
      const float* query = queries + group * head_dim;
      float* own = scores + group * (length + 16);
      const float slope = slopes ? slopes[head * groups + group] : 0.0f;
      Floats parts[MOST_HEAD_LANES];
      for (int64_t i = 0; i < head_dim / 16; ++i) parts[i] = load(query + i * 16);
      for (int64_t key = 0; key < count; ++key) {
        const float* at = keys + from + key * head_dim;
        Floats product = multiply(parts[0], load(at));
        for (int64_t i = 1; i < head_dim / 16; ++i) product = multiply_add(parts[i], load(at + i * 16), product);
        own[key] = sum(product) * scale - slope * (float)(count - 1 - key);
      }
      for (int64_t key = count; key < padded; ++key) own[key] = -std::numeric_limits<float>::infinity();
      Floats most = load(own), total = zero();
      for (int64_t key = 16; key < padded; key += 16) most = larger(most, load(own + key));
      const Floats top = all(largest(most));
      for (int64_t key = 0; key < padded; key += 16) {
        const Floats weight = exponential(subtract(load(own + key), top));
        store(own + key, weight);
        if (key + 16 <= count) total = add(total, weight);
      }
      float sum_of_all = sum(total);
      for (int64_t key = count / 16 * 16; key < count; ++key) sum_of_all += own[key];
      const Floats inverse = all(1.0f / sum_of_all);
      Floats mixed[MOST_HEAD_LANES];
      for (int64_t i = 0; i < head_dim / 16; ++i) mixed[i] = zero();
      for (int64_t key = 0; key < count; ++key) {
        const Floats weight = all(own[key]);
        const float* at = values + from + key * head_dim;
        for (int64_t i = 0; i < head_dim / 16; ++i) mixed[i] = multiply_add(weight, load(at + i * 16), mixed[i]);
      }
      for (int64_t i = 0; i < head_dim / 16; ++i) store(found + group * head_dim + i * 16, multiply(mixed[i], inverse));
    }
  }
};

}  // namespace textmill
