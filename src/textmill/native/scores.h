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
constexpr int64_t KEYS_AT_ONCE = 64;  // that are read side by side for all of these

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
  // How many scores of it are read, those it doesn't see being zeros.
  int64_t wide(int64_t query) const { return (reach(query / TILE_ROWS * TILE_ROWS) + 15) / 16 * 16; }
};

inline std::vector<float>& scratch(int64_t numbers) {
  thread_local std::vector<float> kept;
  if ((int64_t)kept.size() < numbers) kept.resize(numbers);
  return kept;
}

// Rows side by side that lie apart elsewhere, in a cache's terms: at distances that share its sets.
inline void gather_rows(const float* from, int64_t rows_apart, int64_t rows, int64_t width, float* to) {
  for (int64_t row = 0; row < rows; ++row) std::copy_n(from + row * rows_apart, width, to + row * width);
}

// For the tiles of queries from `begin` to `end`: products of theirs (whose rows lie `asked_apart`) with all keys that each looks at,
// `turned` (width, padded), -> scores, from `begin` on; a panel of keys at a time, which stays in the nearest cache.
inline void all_scores(const Scores& s, int64_t begin, int64_t end, const float* asked, int64_t asked_apart, const float* turned,
                       float* scores) {
  const int64_t width = s.head_dim, padded = s.padded();
  for (int64_t panel = 0; panel < padded; panel += KEYS_AT_ONCE)
    for (int64_t tile = begin; tile < end; tile += TILE_ROWS) {
      const int64_t wide = std::min(KEYS_AT_ONCE, (s.reach(tile) + 15) / 16 * 16 - panel);
      if (wide > 0)
        tiles(std::min<int64_t>(TILE_ROWS, end - tile), {asked + tile * asked_apart, asked_apart, 1}, turned + panel, padded, width,
              scores + (tile - begin) * padded + panel, padded, wide, false);
    }
}

// Their weights (or slopes) times what lies side by side for each key (keys, width) -> result, from query `begin` on.
inline void all_found(const Scores& s, int64_t begin, int64_t end, const float* weights, const float* of_keys, float* result,
                      int64_t apart) {
  const int64_t width = s.head_dim, padded = s.padded();
  for (int64_t panel = 0; panel < s.keys; panel += KEYS_AT_ONCE)
    for (int64_t tile = begin; tile < end; tile += TILE_ROWS) {
      const int64_t deep = std::min(KEYS_AT_ONCE, s.reach(tile) - panel);
      if (deep > 0)
        tiles(std::min<int64_t>(TILE_ROWS, end - tile), {weights + (tile - begin) * padded + panel, padded, 1}, of_keys + panel * width,
              width, deep, result + tile * apart, apart, width, panel > 0);
    }
}

inline void attend(const Scores& s, int64_t row, int64_t head) {
  const int64_t shared = head / (s.heads / s.key_value_heads), width = s.head_dim, padded = s.padded();
  float *turned = scratch(padded * (2 * width + QUERIES)).data(), *values = turned + width * padded, *weights = values + width * padded;
  const float* queries = s.query.of(row, head);
  float *found = s.found.of(row, head), *log_sums = s.log_sums + (row * s.heads + head) * s.queries;
  const float scale = 1.0f / std::sqrt((float)width);
  transpose(s.key.of(row, shared), s.key.token, s.keys, width, turned, padded);
  gather_rows(s.value.of(row, shared), s.value.token, s.keys, width, values);
  for (int64_t begin = 0; begin < s.queries; begin += QUERIES) {
    const int64_t end = std::min(begin + QUERIES, s.queries);
    all_scores(s, begin, end, queries, s.query.token, turned, weights);
    float inverses[QUERIES];
    for (int64_t query = begin; query < end; ++query) {
      float* own = weights + (query - begin) * padded;
      const int64_t seen = s.seen(query), blocks = (seen + 15) / 16 * 16, wide = s.wide(query);
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
      inverses[query - begin] = 1.0f / sum_of_all;
      log_sums[query] = top * scale + std::log(sum_of_all);
    }
    all_found(s, begin, end, weights, values, found, s.found.token);
    for (int64_t query = begin; query < end; ++query)
      for (int64_t i = 0; i < width; i += 16) {
        float* at = found + query * s.found.token + i;
        store(at, multiply(load(at), all(inverses[query - begin])));
      }
  }
}

// Of the gradient of what was found: those of query, key and value, of all heads that share one of key and value.
inline void attend_backward(const Scores& s, const Heads& gradient, const Heads& of_query, const Heads& of_key, const Heads& of_value,
                            int64_t row, int64_t shared) {
  const int64_t groups = s.heads / s.key_value_heads, width = s.head_dim, padded = s.padded();
  float* keys = scratch(padded * (3 * width + 2 * QUERIES) + 2 * QUERIES * width).data();
  float *turned_keys = keys + width * padded, *turned_values = turned_keys + width * padded;
  float *weights = turned_values + width * padded, *slopes = weights + QUERIES * padded;
  float *own_queries = slopes + QUERIES * padded, *own_given = own_queries + QUERIES * width;
  float *key_gradient = of_key.of(row, shared), *value_gradient = of_value.of(row, shared);
  const float scale = 1.0f / std::sqrt((float)width);
  gather_rows(s.key.of(row, shared), s.key.token, s.keys, width, keys);
  transpose(keys, width, s.keys, width, turned_keys, padded);
  transpose(s.value.of(row, shared), s.value.token, s.keys, width, turned_values, padded);
  bool adds = false;
  for (int64_t head = shared * groups; head < (shared + 1) * groups; ++head) {
    const float *queries = s.query.of(row, head), *found = s.found.of(row, head), *given = gradient.of(row, head);
    const float* log_sums = s.log_sums + (row * s.heads + head) * s.queries;
    // The last queries first: they see all keys, whose gradients so begin with them.
    for (int64_t begin = (s.queries - 1) / QUERIES * QUERIES; begin >= 0; begin -= QUERIES) {
      const int64_t end = std::min(begin + QUERIES, s.queries);
      gather_rows(queries + begin * s.query.token, s.query.token, end - begin, width, own_queries);
      gather_rows(given + begin * gradient.token, gradient.token, end - begin, width, own_given);
      all_scores(s, begin, end, own_queries - begin * width, width, turned_keys, weights);
      all_scores(s, begin, end, own_given - begin * width, width, turned_values, slopes);
      for (int64_t query = begin; query < end; ++query) {
        float *weight = weights + (query - begin) * padded, *slope = slopes + (query - begin) * padded;
        const float *of_found = found + query * s.found.token, *of_given = own_given + (query - begin) * width;
        Floats product = zero();
        for (int64_t i = 0; i < width; i += 16) product = multiply_add(load(of_found + i), load(of_given + i), product);
        const Floats mean = all(sum(product)), log_sum = all(-log_sums[query]), factor = all(scale);
        const int64_t seen = s.seen(query), wide = s.wide(query);
        for (int64_t key = 0; key < (seen + 15) / 16 * 16; key += 16) {
          const Floats share = exponential(multiply_add(load(weight + key), factor, log_sum));
          store(weight + key, share);
          store(slope + key, multiply(multiply(share, subtract(load(slope + key), mean)), factor));
        }
        for (int64_t key = seen; key < wide; ++key) weight[key] = slope[key] = 0.0f;
      }
      all_found(s, begin, end, slopes, keys, of_query.of(row, head), of_query.token);
      for (int64_t tile = 0; tile < (s.causal ? end : s.keys); tile += TILE_ROWS) {
        const int64_t count = std::min<int64_t>(TILE_ROWS, s.keys - tile), skipped = s.causal ? std::max<int64_t>(tile - begin, 0) : 0;
        const bool goes_on = adds || end < s.queries;
        const int64_t from = skipped * padded + tile, deep = end - begin - skipped;
        tiles(count, {weights + from, 1, padded}, own_given + skipped * width, width, deep, value_gradient + tile * of_value.token,
              of_value.token, width, goes_on);
        tiles(count, {slopes + from, 1, padded}, own_queries + skipped * width, width, deep, key_gradient + tile * of_key.token,
              of_key.token, width, goes_on);
      }
    }
    adds = true;
  }
}

}  // namespace textmill
