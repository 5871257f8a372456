// Rows of packed weights, given back in float32: what a table of embeddings is asked for that is kept as the head's matrix.
#pragma once

#include <algorithm>

#include "products.h"

namespace textmill {

// The first `width` weights of one output.
inline void copy_row(const Weights& w, int64_t output, int64_t width, float* to) {
  const uint8_t* at = w.blocks + output / LANES * w.block_bytes();
  const int64_t lane = output % LANES, packed = w.format == INT8 ? GROUP * LANES : GROUP * LANES / 2;
  if (w.format == FLOAT32) {
    for (int64_t k = 0; k < width; ++k) to[k] = ((const float*)at)[k * LANES + lane];
    return;
  }
  for (int64_t first = 0; first < width; first += GROUP, at += packed + 4 * LANES) {
    float scales[LANES], lowest[LANES];
    store(scales, load_halves(at + packed));
    store(lowest, load_halves(at + packed + 2 * LANES));
    for (int64_t k = 0; k < std::min<int64_t>(GROUP, width - first); ++k) {
      const uint8_t* bytes = at + (k / (w.format == INT8 ? 4 : 8) * LANES + lane) * 4 + k % 4;
      const int number = w.format == INT8 ? *bytes : k % 8 < 4 ? *bytes & 15 : *bytes >> 4;
      to[first + k] = w.unit * (number * scales[lane] + lowest[lane]);
    }
  }
}

}  // namespace textmill
