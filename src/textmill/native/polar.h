// The orthogonal matrix next to a given one, by polynomials of its small Gram matrix (Amsel et al. 2025, "The Polar Express"). All
// of the iteration's matrices are symmetric, so half of each is computed and the other half mirrored.
#pragma once

#include <cmath>
#include <vector>

#include "tiles.h"

namespace textmill {

constexpr int64_t PANEL = 64, DEPTH = 128;  // columns and rows of a right factor that stay in the nearest cache, side by side

// Sizes are multiples of sixteen. Of a symmetric result only what is on the diagonal or below, to within a tile.
inline void lower_or_all(int64_t rows, int64_t columns, int64_t inner, Strided a, Strided b, float* c, bool symmetric) {
  alignas(64) float panel[DEPTH * PANEL];
  for (int64_t column = 0; column < columns; column += PANEL) {
    const int64_t wide = std::min(PANEL, columns - column);
    for (int64_t start = 0; start < inner; start += DEPTH) {
      const int64_t deep = std::min(DEPTH, inner - start);
      const float* corner = b.at + start * b.rows + column * b.columns;
      if (b.columns == 1) {
        for (int64_t k = 0; k < deep; ++k) std::copy_n(corner + k * b.rows, wide, panel + k * wide);
      } else {
        transpose(corner, b.columns, wide, deep, panel, wide);
      }
      for (int64_t row = symmetric ? column : 0; row < rows; row += TILE_ROWS) {
        const int64_t count = std::min<int64_t>(TILE_ROWS, rows - row);
        const int64_t needed = symmetric ? std::min(wide, (row + count - column + 15) / 16 * 16) : wide;
        tiles(count, {a.at + row * a.rows + start * a.columns, a.rows, a.columns}, panel, wide, deep, c + row * columns + column,
              columns, needed, start > 0);
      }
    }
  }
}

// c (rows × columns) = a · b. Whichever of their strides isn't 1 is that of whole rows or columns.
inline void product(int64_t rows, int64_t columns, int64_t inner, Strided a, Strided b, float* c) {
  lower_or_all(rows, columns, inner, a, b, c, false);
}

// c (size × size) = a · b, where that is symmetric.
inline void symmetric_product(int64_t size, int64_t inner, Strided a, Strided b, float* c) {
  lower_or_all(size, size, inner, a, b, c, true);
  for (int64_t row = 0; row < size; row += 16)
    for (int64_t column = 0; column < row; column += 16) transpose_block(c + row * size + column, size, c + column * size + row, size);
}

// matrix (rows × columns, multiples of sixteen) becomes about U · Vᵀ of its singular value decomposition; coefficients (steps, 3).
inline void orthogonalise(float* matrix, int64_t rows, int64_t columns, const float* coefficients, int64_t steps) {
  const int64_t size = std::min(rows, columns), inner = std::max(rows, columns);
  thread_local std::vector<float> kept;
  kept.resize(4 * size * size + rows * columns);
  float *gram = kept.data(), *polynomial = gram + size * size, *whole = polynomial + size * size, *other = whole + size * size;
  float* result = other + size * size;
  const Strided wide = rows <= columns ? Strided{matrix, columns, 1} : Strided{matrix, 1, columns};
  symmetric_product(size, inner, wide, {wide.at, wide.columns, wide.rows}, gram);
  double squares = 0;
  for (int64_t i = 0; i < size; ++i) squares += gram[i * size + i];
  const float scale = 1.0f / (1.01f * (float)std::sqrt(squares) + 1e-7f);
  for (int64_t i = 0; i < size * size; i += 16) store(gram + i, multiply(load(gram + i), all(scale * scale)));
  const auto square = [size](float* at) { return Strided{at, size, 1}; };
  for (int64_t step = 0; step < steps; ++step) {
    const float *c = coefficients + 3 * step;
    symmetric_product(size, size, square(gram), square(gram), polynomial);
    for (int64_t i = 0; i < size * size; i += 16)
      store(polynomial + i, multiply_add(load(polynomial + i), all(c[2]), multiply(load(gram + i), all(c[1]))));
    for (int64_t i = 0; i < size; ++i) polynomial[i * size + i] += c[0];
    if (step == 0) {
      std::copy(polynomial, polynomial + size * size, whole);
    } else {
      symmetric_product(size, size, square(polynomial), square(whole), other);
      std::swap(whole, other);
    }
    if (step + 1 == steps) break;
    symmetric_product(size, size, square(gram), square(polynomial), other);
    symmetric_product(size, size, square(other), square(polynomial), gram);
  }
  for (int64_t i = 0; i < size * size; i += 16) store(whole + i, multiply(load(whole + i), all(scale)));
  const Strided given{matrix, columns, 1};
  if (rows <= columns) {
    product(rows, columns, size, square(whole), given, result);
  } else {
    product(rows, columns, size, given, square(whole), result);
  }
  std::copy(result, result + rows * columns, matrix);
}

}  // namespace textmill
