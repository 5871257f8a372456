// Small float32 products that stay in a core's own caches: attention's, and those of square matrices that are symmetric.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lanes.h"

namespace textmill {

#if defined(__AVX512F__)
constexpr int TILE_ROWS = 6, TILE_LANES = 4;  // sums that are kept in registers at once
#else
constexpr int TILE_ROWS = 2, TILE_LANES = 2;
#endif

// Where the numbers of a matrix lie: (row, column) at row · rows + column · columns.
struct Strided {
  const float* at;
  int64_t rows, columns;
};

// c (ROWS × 16 · COLUMNS) = a · b, or more where it `adds`; b's columns lie side by side.
template <int ROWS, int COLUMNS>
inline void tile(Strided a, const float* b, int64_t b_rows, int64_t inner, float* c, int64_t c_rows, bool adds) {
  Floats sums[ROWS][COLUMNS];
  for (int row = 0; row < ROWS; ++row)
    for (int column = 0; column < COLUMNS; ++column) sums[row][column] = adds ? load(c + row * c_rows + column * 16) : zero();
  for (int64_t k = 0; k < inner; ++k) {
    Floats right[COLUMNS];
    for (int column = 0; column < COLUMNS; ++column) right[column] = load(b + k * b_rows + column * 16);
    for (int row = 0; row < ROWS; ++row) {
      const Floats left = all(a.at[row * a.rows + k * a.columns]);
      for (int column = 0; column < COLUMNS; ++column) sums[row][column] = multiply_add(left, right[column], sums[row][column]);
    }
  }
  for (int row = 0; row < ROWS; ++row)
    for (int column = 0; column < COLUMNS; ++column) store(c + row * c_rows + column * 16, sums[row][column]);
}

template <int ROWS>
inline void tile_row(Strided a, const float* b, int64_t b_rows, int64_t inner, float* c, int64_t c_rows, int64_t columns, bool adds) {
  int64_t column = 0;
  for (; column + 16 * TILE_LANES <= columns; column += 16 * TILE_LANES)
    tile<ROWS, TILE_LANES>(a, b + column, b_rows, inner, c + column, c_rows, adds);
  for (; column < columns; column += 16) tile<ROWS, 1>(a, b + column, b_rows, inner, c + column, c_rows, adds);
}

// The same for up to TILE_ROWS rows and any number of columns that is a multiple of sixteen.
inline void tiles(int64_t rows, Strided a, const float* b, int64_t b_rows, int64_t inner, float* c, int64_t c_rows, int64_t columns,
                  bool adds) {
  if (rows >= TILE_ROWS) return tile_row<TILE_ROWS>(a, b, b_rows, inner, c, c_rows, columns, adds);
  for (int64_t row = 0; row < rows; ++row)
    tile_row<1>({a.at + row * a.rows, a.rows, a.columns}, b, b_rows, inner, c + row * c_rows, c_rows, columns, adds);
}

// Rows of `width` (a multiple of sixteen) side by side -> (width, length padded to sixteen), what is missing being zeros.
inline void transpose(const float* from, int64_t rows_apart, int64_t length, int64_t width, float* to) {
  const int64_t padded = (length + 15) / 16 * 16;
  for (int64_t start = 0; start < padded; start += 16)
    for (int64_t column = 0; column < width; ++column)
      for (int64_t row = start; row < start + 16; ++row)
        to[column * padded + row] = row < length ? from[row * rows_apart + column] : 0.0f;
}

}  // namespace textmill
