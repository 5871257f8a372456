// Attention for training, forward and backward, of all queries of a head (Dao et al. 2022, "FlashAttention": scores are made anew
// on the way back). With `causal` no product looks at more than the triangle, to within a tile.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "sharing.h"
#include "tiles.h"

namespace textmill {

constexpr int64_t QUERIES = 60;  // whose scores are at hand at once; a multiple of TILE_ROWS

// (rows, heads, tokens, head_dim), of which only the last lie side by side; strides in numbers.
struct Heads {
  float* at;
  int64_t row, head, token;
  float* of(int64_t r, int64_t h) const { return at + r * row + h * head; }
};

struct Scores {
  int64_t rows, heads, key_value_heads, queries, keys, head_dim;
  int32_t causal, threads;
  Heads query, key, value, found;
  float* log_sums;  // (rows, heads, queries)

  int64_t padded() const { return (keys + 15) / 16 * 16; }
  // How many keys the tile of queries that begins there looks at, and how many one query sees.
  int64_t reach(int64_t tile) const { return causal ? std::min(tile + TILE_ROWS, keys) : keys; }
  int64_t seen(int64_t query) const { return causal ? query + 1 : keys; }
};

inline std::vector<float>& scratch(int64_t numbers) {
  thread_local std::vector<float> kept;
  if ((int64_t)kept.size() < numbers) kept.resize(numbers);
  return kept;
}

inline void attend(const Scores& s, int64_t row, int64_t head) {
  const int64_t shared = head / (s.heads / s.key_value_heads), width = s.head_dim, padded = s.padded();
  float *turned = scratch(padded * (width + TILE_ROWS)).data(), *weights = turned + width * padded;
  const float *queries = s.query.of(row, head), *values = s.value.of(row, shared);
  float *found = s.found.of(row, head), *log_sums = s.log_sums + (row * s.heads + head) * s.queries;
  const float scale = 1.0f / std::sqrt((float)width);
  transpose(s.key.of(row, shared), s.key.token, s.keys, width, turned);
  for (int64_t tile = 0; tile < s.queries; tile += TILE_ROWS) {
    const int64_t count = std::min<int64_t>(TILE_ROWS, s.queries - tile), reach = s.reach(tile), wide = (reach + 15) / 16 * 16;
    tiles(count, {queries + tile * s.query.token, s.query.token, 1}, turned, padded, width, weights, padded, wide, false);
    float inverses[TILE_ROWS];
    for (int64_t query = 0; query < count; ++query) {
      float* own = weights + query * padded;
      const int64_t seen = s.seen(tile + query), blocks = (seen + 15) / 16 * 16;
      for (int64_t key = seen; key < wide; ++key) own[key] = -std::numeric_limits<float>::infinity();
      Floats most = load(own), total = zero();
      for (int64_t key = 16; key < blocks; key += 16) most = larger(most, load(own + key));
      const float top = largest(most);
      for (int64_t key = 0; key < blocks; key += 16) {
        const Floats weight = exponential(multiply(subtract(load(own + key), all(top)), all(scale)));
        store(own + key, weight);
        if (key + 16 <= seen) total = add(total, weight);
      }
      float sum_of_all = sum(total);
      for (int64_t key = seen / 16 * 16; key < seen; ++key) sum_of_all += own[key];
      for (int64_t key = seen; key < wide; ++key) own[key] = 0.0f;
      inverses[query] = 1.0f / sum_of_all;
      log_sums[tile + query] = top * scale + std::log(sum_of_all);
    }
    tiles(count, {weights, padded, 1}, values, s.value.token, reach, found + tile * s.found.token, s.found.token, width, false);
    for (int64_t query = 0; query < count; ++query)
      for (int64_t i = 0; i < width; i += 16) {
        float* at = found + (tile + query) * s.found.token + i;
        store(at, multiply(load(at), all(inverses[query])));
      }
  }
}

// Of the gradient of what was found: those of query, key and value, of all heads that share one of key and value.
inline void attend_backward(const Scores& s, const Heads& gradient, const Heads& of_query, const Heads& of_key, const Heads& of_value,
                            int64_t row, int64_t shared) {
  const int64_t groups = s.heads / s.key_value_heads, width = s.head_dim, padded = s.padded();
  float* turned_keys = scratch(2 * padded * (width + QUERIES)).data();
  float *turned_values = turned_keys + width * padded, *weights = turned_values + width * padded, *slopes = weights + QUERIES * padded;
  const float *keys = s.key.of(row, shared), scale = 1.0f / std::sqrt((float)width);
  float *key_gradient = of_key.of(row, shared), *value_gradient = of_value.of(row, shared);
  transpose(keys, s.key.token, s.keys, width, turned_keys);
  transpose(s.value.of(row, shared), s.value.token, s.keys, width, turned_values);
  bool adds = false;
  for (int64_t head = shared * groups; head < (shared + 1) * groups; ++head) {
    const float *queries = s.query.of(row, head), *found = s.found.of(row, head), *given = gradient.of(row, head);
    const float* log_sums = s.log_sums + (row * s.heads + head) * s.queries;
    float* query_gradient = of_query.of(row, head);
    // The last queries first: they see all keys, whose gradients so begin with them.
    for (int64_t begin = (s.queries - 1) / QUERIES * QUERIES; begin >= 0; begin -= QUERIES) {
      const int64_t end = std::min(begin + QUERIES, s.queries);
      for (int64_t tile = begin; tile < end; tile += TILE_ROWS) {
        const int64_t count = std::min<int64_t>(TILE_ROWS, end - tile), reach = s.reach(tile), wide = (reach + 15) / 16 * 16;
        float *own_weights = weights + (tile - begin) * padded, *own_slopes = slopes + (tile - begin) * padded;
        const Strided asked{queries + tile * s.query.token, s.query.token, 1}, back{given + tile * gradient.token, gradient.token, 1};
        tiles(count, asked, turned_keys, padded, width, own_weights, padded, wide, false);
        tiles(count, back, turned_values, padded, width, own_slopes, padded, wide, false);
        for (int64_t query = 0; query < count; ++query) {
          float *weight = own_weights + query * padded, *slope = own_slopes + query * padded;
          const float *of_found = found + (tile + query) * s.found.token, *of_given = given + (tile + query) * gradient.token;
          Floats product = zero();
          for (int64_t i = 0; i < width; i += 16) product = multiply_add(load(of_found + i), load(of_given + i), product);
          const Floats mean = all(sum(product)), log_sum = all(-log_sums[tile + query]), factor = all(scale);
          const int64_t seen = s.seen(tile + query);
          for (int64_t key = 0; key < (seen + 15) / 16 * 16; key += 16) {
            const Floats share = exponential(multiply_add(load(weight + key), factor, log_sum));
            store(weight + key, share);
            store(slope + key, multiply(multiply(share, subtract(load(slope + key), mean)), factor));
          }
          for (int64_t key = seen; key < wide; ++key) weight[key] = slope[key] = 0.0f;
        }
        tiles(count, {own_slopes, padded, 1}, keys, s.key.token, reach, query_gradient + tile * of_query.token, of_query.token, width,
              false);
      }
      for (int64_t tile = 0; tile < (s.causal ? end : s.keys); tile += TILE_ROWS) {
        const int64_t count = std::min<int64_t>(TILE_ROWS, s.keys - tile), first = s.causal ? std::max(begin, tile) : begin;
        const bool goes_on = adds || end < s.queries;
        const int64_t from = (first - begin) * padded + tile;
        tiles(count, {weights + from, 1, padded}, given + first * gradient.token, gradient.token, end - first,
              value_gradient + tile * of_value.token, of_value.token, width, goes_on);
        tiles(count, {slopes + from, 1, padded}, queries + first * s.query.token, s.query.token, end - first,
              key_gradient + tile * of_key.token, of_key.token, width, goes_on);
      }
    }
    adds = true;
  }
}

}  // namespace textmill
