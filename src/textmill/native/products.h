// The product of packed weights with some rows of activations: y = x · Wᵀ, in float32, with weights in float32, or in 8 or 4 bits.
//
// Weights lie in blocks of sixteen outputs, one lane each (packing.py says how), so that a register of them times one activation
// is sixteen products, and memory is read once, from front to back. Activations for short weights are rounded to 8 bits in
// groups of 32, each group with its own scale, as in Dettmers et al. 2022 and in llama.cpp's Q8_0.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lanes.h"
#include "pool.h"

namespace textmill {

constexpr int LANES = 16, GROUP = 32, AHEAD = 2048;  // outputs of a block, inputs of a group, bytes that are fetched ahead

enum Format : int32_t { FLOAT32 = 0, INT8 = 1, INT4 = 2 };

struct Weights {
  int32_t format;
  int64_t outputs, inputs;  // inputs: a multiple of GROUP, with zeros behind the last
  const uint8_t* blocks;

  int64_t block_bytes() const {
    const int64_t groups = inputs / GROUP;
    return format == FLOAT32 ? inputs * LANES * 4 : groups * (format == INT8 ? 544 : 288);
  }
};

// Rows of activations as the kernels read them: as they are, and for short weights rounded.
struct Activations {
  const float* values;
  const int8_t* rounded;
  const float* scales;
  const int32_t* sums;
};

inline void fetch(const void* from) { _mm_prefetch((const char*)from + AHEAD, _MM_HINT_T0); }

inline int32_t four(const int8_t* from) {
  int32_t bytes;
  std::memcpy(&bytes, from, 4);
  return bytes;
}

// A row's sums are made in one order, whatever rows stand beside it: so its outputs have the same bits in every batch.
//
// Each kernel: B blocks, `stride` bytes apart, times M rows of activations, from row `first` on, into out[block][row].

template <int B, int M>
void product_float32(const uint8_t* blocks, int64_t stride, int64_t inputs, const Activations& x, int64_t first, Floats (*out)[M]) {
  const float* values = x.values + first * inputs;
  for (int block = 0; block < B; ++block)
    for (int row = 0; row < M; ++row) out[block][row] = zero();
  for (int64_t k = 0; k < inputs; ++k) {
    Floats columns[B];
    for (int block = 0; block < B; ++block) {
      const float* weights = (const float*)(blocks + block * stride) + k * LANES;
      fetch(weights);
      columns[block] = load(weights);
    }
    for (int row = 0; row < M; ++row) {
      const Floats value = all(values[row * inputs + k]);
      for (int block = 0; block < B; ++block) out[block][row] = multiply_add(columns[block], value, out[block][row]);
    }
  }
}

template <int B, int M, bool NIBBLES>
void product_short(const uint8_t* blocks, int64_t stride, int64_t inputs, const Activations& x, int64_t first, Floats (*out)[M]) {
  constexpr int PACKED = NIBBLES ? GROUP * LANES / 2 : GROUP * LANES, OFFSET = NIBBLES ? 8 : BYTE_OFFSET;
  const int64_t groups = inputs / GROUP;
  const int8_t* rounded = x.rounded + first * inputs;
  const float* scales = x.scales + first * groups;
  const int32_t* totals = x.sums + first * groups;
  for (int block = 0; block < B; ++block)
    for (int row = 0; row < M; ++row) out[block][row] = zero();
  for (int64_t group = 0; group < groups; ++group) {
    for (int block = 0; block < B; ++block) {
      const uint8_t* weights = blocks + block * stride + group * (PACKED + LANES * 2);
      Integers sums[M];
      for (int row = 0; row < M; ++row) sums[row] = all_integers(-OFFSET * totals[row * groups + group]);
      for (int part = 0; part < PACKED / 64; ++part) {
        fetch(weights + part * 64);
        const Bytes bytes = load_bytes(weights + part * 64);
        if constexpr (NIBBLES) {
          const Bytes low = low_nibbles(bytes), high = high_nibbles(bytes);
          for (int row = 0; row < M; ++row) {
            const int8_t* eight = rounded + row * inputs + group * GROUP + part * 8;
            sums[row] = dot_nibbles(low, four(eight), sums[row]);
            sums[row] = dot_nibbles(high, four(eight + 4), sums[row]);
          }
        } else {
          for (int row = 0; row < M; ++row)
            sums[row] = dot(bytes, four(rounded + row * inputs + group * GROUP + part * 4), sums[row]);
        }
      }
      const Floats scale = load_halves(weights + PACKED);
      for (int row = 0; row < M; ++row)
        out[block][row] =
            multiply_add(multiply(scale, all(scales[row * groups + group])), to_floats(sums[row]), out[block][row]);
    }
  }
}

template <int B, int M>
void product(const Weights& w, int64_t block, const Activations& x, int64_t first, Floats (*out)[M]) {
  const int64_t stride = w.block_bytes();
  const uint8_t* blocks = w.blocks + block * stride;
  if (w.format == FLOAT32) return product_float32<B, M>(blocks, stride, w.inputs, x, first, out);
  if (w.format == INT8) return product_short<B, M, false>(blocks, stride, w.inputs, x, first, out);
  return product_short<B, M, true>(blocks, stride, w.inputs, x, first, out);
}

// Gives `sink` the outputs of B blocks for every row from `first` on: sink(row, Floats[B]).
template <int B, int M, class Sink>
void product_of_rows(const Weights& w, int64_t block, const Activations& x, int64_t first, int64_t rows, const Sink& sink) {
  for (; first + M <= rows; first += M) {
    Floats out[B][M];
    product<B, M>(w, block, x, first, out);
    for (int row = 0; row < M; ++row) {
      Floats lanes[B];
      for (int b = 0; b < B; ++b) lanes[b] = out[b][row];
      sink(first + row, lanes);
    }
  }
  if constexpr (M > 1)
    if (first < rows) product_of_rows<B, M / 2>(w, block, x, first, rows, sink);
}

// Rounds `count` activations to 8 bits, in groups.
inline void round_activations(const float* values, int64_t count, int8_t* rounded, float* scales, int32_t* sums) {
  for (int64_t group = 0; group < count / GROUP; ++group) {
    const Floats low = load(values + group * GROUP), high = load(values + group * GROUP + LANES), none = zero();
    const float most = largest(larger(larger(low, subtract(none, low)), larger(high, subtract(none, high))));
    const Floats inverse = all(most > 0.0f ? 127.0f / most : 0.0f);
    float whole[GROUP];
    store(whole, nearest(multiply(low, inverse)));
    store(whole + LANES, nearest(multiply(high, inverse)));
    int32_t sum = 0;
    for (int i = 0; i < GROUP; ++i) {
      rounded[group * GROUP + i] = (int8_t)whole[i];
      sum += (int32_t)whole[i];
    }
    scales[group] = most / 127.0f;
    sums[group] = sum;
  }
}

}  // namespace textmill

