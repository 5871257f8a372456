// The product of packed weights with some rows of activations: y = x · Wᵀ, in float32, with weights in float32, or in 8 or 4 bits.
//
// Weights lie in blocks of sixteen outputs, one lane each (packing.py says how), so that a register of them times one activation
// is sixteen products, and memory is read once, from front to back. Short weights are whole numbers in groups of 32 with a
// scale, in 4 bits above a lowest value (rounding.h has the activations for them).

#pragma once

#include <cstring>

#include "lanes.h"
#include "rounding.h"

namespace textmill {

constexpr int AHEAD = 4096;  // bytes that are fetched before they are needed

enum Format : int32_t { FLOAT32 = 0, INT8 = 1, INT4 = 2 };

// Of a group of sixteen outputs: its numbers, and 16 bits for each output's scale; in 4 bits (NIBBLES) as many for its lowest value.
template <bool NIBBLES>
constexpr int NUMBER_BYTES = GROUP * LANES / (NIBBLES ? 2 : 1);
template <bool NIBBLES>
constexpr int GROUP_BYTES = NUMBER_BYTES<NIBBLES> + (NIBBLES ? 4 : 2) * LANES;

struct Weights {
  int32_t format;
  float unit;               // of short weights' scales and lowest values
  int64_t outputs, inputs;  // inputs: a multiple of GROUP, with zeros behind the last
  const uint8_t* blocks;

  int64_t block_bytes() const {
    const int64_t groups = inputs / GROUP;
    return format == FLOAT32 ? inputs * LANES * 4 : groups * (format == INT8 ? GROUP_BYTES<false> : GROUP_BYTES<true>);
  }
};

inline void fetch(const void* from) { _mm_prefetch((const char*)from, _MM_HINT_T0); }

// How far ahead of byte `at` of a block to fetch, where B blocks of `stride` bytes are read side by side: behind a block's end stands
// what is read beside it already, and its next part B blocks on.
template <int B>
inline int64_t ahead_of(int64_t at, int64_t stride) { return at + AHEAD < stride ? AHEAD : AHEAD + (B - 1) * stride; }

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
  Floats sums[B][M];  // in registers, where `out` would be memory
#pragma GCC unroll 8
  for (int block = 0; block < B; ++block)
#pragma GCC unroll 8
    for (int row = 0; row < M; ++row) sums[block][row] = zero();
  for (int64_t k = 0; k < inputs; ++k) {
    const int64_t ahead = ahead_of<B>(k * LANES * 4, stride);
    Floats columns[B];
#pragma GCC unroll 8
    for (int block = 0; block < B; ++block) {
      const float* weights = (const float*)(blocks + block * stride) + k * LANES;
      fetch((const char*)weights + ahead);
      columns[block] = load(weights);
    }
#pragma GCC unroll 8
    for (int row = 0; row < M; ++row) {
      const Floats value = all(values[row * inputs + k]);
#pragma GCC unroll 8
      for (int block = 0; block < B; ++block) sums[block][row] = multiply_add(columns[block], value, sums[block][row]);
    }
  }
#pragma GCC unroll 8
  for (int block = 0; block < B; ++block)
#pragma GCC unroll 8
    for (int row = 0; row < M; ++row) out[block][row] = sums[block][row];
}

// Σ of a group's short weights, as whole numbers, times rounded activations: of M rows, `apart` bytes from each other.
template <int M, bool NIBBLES>
inline void dot_group(const uint8_t* weights, const int8_t* rounded, int64_t apart, const RoundedGroup* groups,
                      int64_t groups_apart, Integers* sums) {
#pragma GCC unroll 8
  for (int row = 0; row < M; ++row) sums[row] = all_integers(NIBBLES ? 0 : groups[row * groups_apart].offset);
#pragma GCC unroll 8
  for (int part = 0; part < GROUP / 4; part += NIBBLES ? 2 : 1, weights += 64) {
    const Bytes bytes = load_bytes(weights);
#pragma GCC unroll 8
    for (int row = 0; row < M; ++row) {
      const int8_t* at = rounded + row * apart + part * 4;
      if constexpr (NIBBLES) {
        sums[row] = dot_nibbles(low_nibbles(bytes), four(at), sums[row]);
        sums[row] = dot_nibbles(high_nibbles(bytes), four(at + 4), sums[row]);
      } else {
        sums[row] = dot(bytes, four(at), sums[row]);
      }
    }
  }
}

template <int B, int M, bool NIBBLES>
void product_short(const uint8_t* blocks, int64_t stride, int64_t inputs, const Activations& x, int64_t first,
                   Floats (*out)[M]) {
  constexpr int NUMBERS = NUMBER_BYTES<NIBBLES>, BYTES = GROUP_BYTES<NIBBLES>;
  const int64_t groups = inputs / GROUP;
  Floats totals[B][M];  // in registers, as above
#pragma GCC unroll 8
  for (int block = 0; block < B; ++block)
#pragma GCC unroll 8
    for (int row = 0; row < M; ++row) totals[block][row] = zero();
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t at = first * groups + group, ahead = ahead_of<B>(group * BYTES, stride);
#pragma GCC unroll 8
    for (int block = 0; block < B; ++block) {
      const uint8_t* weights = blocks + block * stride + group * BYTES;
      for (int line = 0; line < BYTES; line += 64) fetch(weights + ahead + line);
      Integers sums[M];
      dot_group<M, NIBBLES>(weights, x.rounded + at * GROUP, inputs, x.groups + at, groups, sums);
      const Floats scale = load_halves(weights + NUMBERS);
      const Floats lowest = NIBBLES ? load_halves(weights + NUMBERS + 2 * LANES) : zero();
#pragma GCC unroll 8
      for (int row = 0; row < M; ++row) {
        const RoundedGroup& of = x.groups[at + row * groups];
        if constexpr (NIBBLES) totals[block][row] = multiply_add(lowest, all(of.total), totals[block][row]);
        totals[block][row] = multiply_add(multiply(scale, all(of.scale)), to_floats(sums[row]), totals[block][row]);
      }
    }
  }
#pragma GCC unroll 8
  for (int block = 0; block < B; ++block)
#pragma GCC unroll 8
    for (int row = 0; row < M; ++row) out[block][row] = totals[block][row];
  for (int row = 0; row < M; ++row) {
    const int64_t from = (first + row) * groups;
    for (int64_t rest = from; rest < from + x.rests[first + row]; ++rest) {
      const RoundedGroup& of = x.rest_groups[rest];
      for (int block = 0; block < B; ++block) {
        const uint8_t* weights = blocks + block * stride + of.group * BYTES;
        Integers sum[1];
        dot_group<1, NIBBLES>(weights, x.rest_rounded + rest * GROUP, 0, &of, 0, sum);
        const Floats scale = multiply(load_halves(weights + NUMBERS), all(of.scale));
        out[block][row] = multiply_add(scale, to_floats(sum[0]), out[block][row]);
      }
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

}  // namespace textmill
