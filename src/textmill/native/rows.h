// Rows of packed weights, given back in float32: what a table of embeddings is asked for that is kept as the head's matrix.
#pragma once

#include <algorithm>

#include "products.h"

namespace textmill {

// The first `width` weights of one output.
inline void copy_row(const Weights& w, int64_t output, int64_t width, float* to) {
  const uint8_t* at = w.blocks + output / LANES * w.block_bytes();
  const bool nibbles = w.format == INT4;
  const int64_t lane = output % LANES, packed = nibbles ? NUMBER_BYTES<true> : NUMBER_BYTES<false>;
  if (w.format == FLOAT32) {
    for (int64_t k = 0; k < width; ++k) to[k] = ((const float*)at)[k * LANES + lane];
    return;
  }
  for (int64_t first = 0; first < width; first += GROUP, at += nibbles ? GROUP_BYTES<true> : GROUP_BYTES<false>) {
    float scales[LANES], lowest[LANES];
    store(scales, load_halves(at + packed));
    store(lowest, nibbles ? load_halves(at + packed + 2 * LANES) : multiply(load_halves(at + packed), all(-128.0f)));
    for (int64_t k = 0; k < std::min<int64_t>(GROUP, width - first); ++k) {
      const uint8_t* bytes = at + (k / (nibbles ? 8 : 4) * LANES + lane) * 4 + k % 4;
      const int number = !nibbles ? *bytes : k % 8 < 4 ? *bytes & 15 : *bytes >> 4;
      to[first + k] = w.unit * (number * scales[lane] + lowest[lane]);
    }
  }
}

}  // namespace textmill
