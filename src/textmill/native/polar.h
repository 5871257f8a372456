// The orthogonal matrix next to a given one, by polynomials of its small Gram matrix (Amsel et al. 2025, "The Polar Express"). All
// of the iteration's matrices are symmetric, so half of each is computed and the other half mirrored.
#pragma once

#include <cmath>
#include <vector>

#include "tiles.h"

namespace textmill {

constexpr int64_t PANEL = 64;  // columns of a right factor that are laid side by side, to be read from the nearest cache

// c (size × size) = a · b, where that is symmetric. b (inner × size) is given transposed or not, as its strides say.
inline void symmetric_product(int64_t size, int64_t inner, Strided a, Strided b, float* c, std::vector<float>& panel) {
  panel.resize(inner * PANEL);
  for (int64_t column = 0; column < size; column += PANEL) {
    const int64_t wide = std::min(PANEL, size - column);
    for (int64_t k = 0; k < inner; ++k)
      for (int64_t i = 0; i < wide; ++i) panel[k * wide + i] = b.at[k * b.rows + (column + i) * b.columns];
    for (int64_t row = column; row < size; row += TILE_ROWS)
      tiles(std::min<int64_t>(TILE_ROWS, size - row), {a.at + row * a.rows, a.rows, a.columns}, panel.data(), wide, inner,
            c + row * size + column, size, wide, false);
  }
  for (int64_t corner = 0; corner < size; corner += PANEL)
    for (int64_t row = corner; row < size; ++row)
      for (int64_t column = corner; column < std::min({corner + PANEL, size, row}); ++column)
        c[column * size + row] = c[row * size + column];
}

// matrix (rows × columns, multiples of sixteen) becomes about U · Vᵀ of its singular value decomposition; coefficients (steps, 3).
inline void orthogonalise(float* matrix, int64_t rows, int64_t columns, const float* coefficients, int64_t steps) {
  const int64_t size = std::min(rows, columns), inner = std::max(rows, columns);
  thread_local std::vector<float> panel, kept;
  kept.resize(4 * size * size + rows * columns);
  float *gram = kept.data(), *polynomial = gram + size * size, *whole = polynomial + size * size, *other = whole + size * size;
  float* result = other + size * size;
  const Strided wide = rows <= columns ? Strided{matrix, columns, 1} : Strided{matrix, 1, columns};
  symmetric_product(size, inner, wide, {wide.at, wide.columns, wide.rows}, gram, panel);
  double squares = 0;
  for (int64_t i = 0; i < size; ++i) squares += gram[i * size + i];
  const float scale = 1.0f / (1.01f * (float)std::sqrt(squares) + 1e-7f);
  for (int64_t i = 0; i < size * size; i += 16) store(gram + i, multiply(load(gram + i), all(scale * scale)));
  const auto square = [size](float* at) { return Strided{at, size, 1}; };
  for (int64_t step = 0; step < steps; ++step) {
    const float *c = coefficients + 3 * step;
    symmetric_product(size, size, square(gram), square(gram), polynomial, panel);
    for (int64_t i = 0; i < size * size; i += 16)
      store(polynomial + i, multiply_add(load(polynomial + i), all(c[2]), multiply(load(gram + i), all(c[1]))));
    for (int64_t i = 0; i < size; ++i) polynomial[i * size + i] += c[0];
    if (step == 0) {
      std::copy(polynomial, polynomial + size * size, whole);
    } else {
      symmetric_product(size, size, square(polynomial), square(whole), other, panel);
      std::swap(whole, other);
    }
    if (step + 1 == steps) break;
    symmetric_product(size, size, square(gram), square(polynomial), other, panel);
    symmetric_product(size, size, square(other), square(polynomial), gram, panel);
  }
  for (int64_t i = 0; i < size * size; i += 16) store(whole + i, multiply(load(whole + i), all(scale)));
  // whole · matrix where it is wide, matrix · whole where it is tall
  const Strided left = rows <= columns ? square(whole) : Strided{matrix, columns, 1};
  const float* right = rows <= columns ? matrix : whole;
  panel.resize(size * PANEL);
  for (int64_t column = 0; column < columns; column += PANEL) {
    const int64_t width = std::min(PANEL, columns - column);
    for (int64_t k = 0; k < size; ++k) std::copy_n(right + k * columns + column, width, panel.data() + k * width);
    for (int64_t row = 0; row < rows; row += TILE_ROWS)
      tiles(std::min<int64_t>(TILE_ROWS, rows - row), {left.at + row * left.rows, left.rows, 1}, panel.data(), width, size,
            result + row * columns + column, columns, width, false);
  }
  std::copy(result, result + rows * columns, matrix);
}

}  // namespace textmill
