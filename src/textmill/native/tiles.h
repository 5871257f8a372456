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
  if constexpr (TILE_LANES > 2)
    for (; column + 32 <= columns; column += 32) tile<ROWS, 2>(a, b + column, b_rows, inner, c + column, c_rows, adds);
  for (; column < columns; column += 16) tile<ROWS, 1>(a, b + column, b_rows, inner, c + column, c_rows, adds);
}

// The same for up to TILE_ROWS rows and any number of columns that is a multiple of sixteen.
template <int ROWS = TILE_ROWS>
inline void tiles(int64_t rows, Strided a, const float* b, int64_t b_rows, int64_t inner, float* c, int64_t c_rows, int64_t columns,
                  bool adds) {
  if (rows >= ROWS) return tile_row<ROWS>(a, b, b_rows, inner, c, c_rows, columns, adds);
  if constexpr (ROWS > 1) tiles<ROWS - 1>(rows, a, b, b_rows, inner, c, c_rows, columns, adds);
}

// Sixteen rows of sixteen numbers become columns.
inline void transpose_block(const float* from, int64_t from_rows, float* to, int64_t to_rows) {
#if defined(__AVX512F__)
  __m512 a[16], b[16];
  for (int row = 0; row < 16; ++row) a[row] = _mm512_loadu_ps(from + row * from_rows);
  for (int row = 0; row < 16; row += 2) {
    b[row] = _mm512_unpacklo_ps(a[row], a[row + 1]);
    b[row + 1] = _mm512_unpackhi_ps(a[row], a[row + 1]);
  }
  for (int row = 0; row < 16; row += 4)  // afterwards a[row + i] has columns i, 4 + i, 8 + i and 12 + i of four rows
    for (int pair = 0; pair < 2; ++pair) {
      const __m512d above = _mm512_castps_pd(b[row + pair]), below = _mm512_castps_pd(b[row + pair + 2]);
      a[row + 2 * pair] = _mm512_castpd_ps(_mm512_unpacklo_pd(above, below));
      a[row + 2 * pair + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(above, below));
    }
  for (int i = 0; i < 4; ++i) {
    const __m512 even = _mm512_shuffle_f32x4(a[i], a[4 + i], 0x88), even_below = _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0x88);
    const __m512 odd = _mm512_shuffle_f32x4(a[i], a[4 + i], 0xdd), odd_below = _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0xdd);
    _mm512_storeu_ps(to + i * to_rows, _mm512_shuffle_f32x4(even, even_below, 0x88));
    _mm512_storeu_ps(to + (4 + i) * to_rows, _mm512_shuffle_f32x4(odd, odd_below, 0x88));
    _mm512_storeu_ps(to + (8 + i) * to_rows, _mm512_shuffle_f32x4(even, even_below, 0xdd));
    _mm512_storeu_ps(to + (12 + i) * to_rows, _mm512_shuffle_f32x4(odd, odd_below, 0xdd));
  }
#else
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 16; ++column) to[column * to_rows + row] = from[row * from_rows + column];
#endif
}

// Rows of `width` (a multiple of sixteen) side by side -> (width, length padded to sixteen), what is missing being zeros; these
// rows lie `to_rows` apart.
inline void transpose(const float* from, int64_t rows_apart, int64_t length, int64_t width, float* to, int64_t to_rows) {
  const int64_t whole = length / 16 * 16;
  for (int64_t start = 0; start < whole; start += 16)
    for (int64_t column = 0; column < width; column += 16)
      transpose_block(from + start * rows_apart + column, rows_apart, to + column * to_rows + start, to_rows);
  if (whole < length)
    for (int64_t column = 0; column < width; ++column)
      for (int64_t row = whole; row < whole + 16; ++row)
        to[column * to_rows + row] = row < length ? from[row * rows_apart + column] : 0.0f;
}

}  // namespace textmill
