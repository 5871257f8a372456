// The product of one matrix by all threads of a pool: rows are made ready, then blocks of outputs are shared out.
#pragma once

#include <algorithm>
#include <vector>

#include "norm.h"
#include "products.h"

namespace textmill {

struct Linear {
  Weights weights;
  const float* bias;  // null: none
};

// A few rows are made ready by each thread for itself, which costs less than waiting for each other; more are shared out.
constexpr int64_t FEW = 4;

// A product's pieces: the first are large, since what is fetched behind a piece's end is often another thread's, and the last small, so
// that nobody waits long for who is last.
struct Pieces {
  int64_t begin = 0, end = 0;

  Pieces(int64_t count, int threads) : count(count), parts(2 * threads) { end = size(); }

  // Go on to the piece of this number, which is no lower than that of the last; returns whether there is one.
  bool reach(int64_t number) {
    for (; reached < number && begin < count; ++reached) {
      begin = end;
      end = begin + size();
    }
    return begin < count;
  }

 private:
  int64_t count, parts, reached = 0;

  int64_t size() const { return std::max<int64_t>(1, (count - begin) / parts); }
};

// Where rows stand that a product takes.
struct Room {
  float* normal;
  Activations rounded;

  static Room in(Scratch& scratch, int64_t rows, int64_t inputs) {
    return {scratch.take<float>(rows * inputs), Activations::in(scratch, rows, inputs)};
  }
};

// For all threads together, and for each alone.
struct Rooms {
  Room together;
  std::vector<Room> alone;

  Rooms(Pool& pool, int64_t rows, int64_t widest) : together(Room::in(pool.scratch, rows > FEW ? rows : 0, widest)) {
    for (int thread = 0; thread < pool.size; ++thread) alone.push_back(Room::in(pool.scratch, std::min(rows, FEW), widest));
  }
};

// Rows of x, normalised if there is a norm, and rounded for short weights.
inline Activations made_ready(Pool& pool, const Room& alone, const Room& together, const Weights& w, const Norm* norm,
                              const float* x, int64_t rows) {
  const Room& room = rows > FEW ? together : alone;
  const auto make_ready = [&](int64_t row) {
    const float* values = x + row * w.inputs;
    if (norm) {
      normalise(*norm, values, w.inputs, room.normal + row * w.inputs);
      values = room.normal + row * w.inputs;
    }
    if (w.format != FLOAT32) round_row(values, w.inputs, w.unit, room.rounded, row);
  };
  if (rows <= FEW) {
    for (int64_t row = 0; row < rows; ++row) make_ready(row);
  } else if (norm || w.format != FLOAT32) {
    for (int64_t row; (row = pool.take()) < rows;) make_ready(row);
    pool.barrier();
  }
  Activations ready = room.rounded;
  ready.values = norm ? room.normal : x;
  return ready;
}

// y = norm(x) · Wᵀ + bias, for rows of x; `put(row, place, lanes)` gets sixteen outputs at a time, with B = 2 those of two blocks.
template <int B, class Put>
void shared_product(Pool& pool, const Rooms& rooms, int thread, const Linear& linear, const Norm* norm, const float* x,
                    int64_t rows, const Put& put) {
  const Weights& w = linear.weights;
  const int64_t blocks = (w.outputs + LANES - 1) / LANES, pairs = (blocks + 1) / 2;
  const Activations ready = made_ready(pool, rooms.alone[thread], rooms.together, w, norm, x, rows);
  Pieces pieces(pairs, pool.size);
  while (pieces.reach(pool.take())) {
    for (int64_t pair = pieces.begin; pair < pieces.end; ++pair) {
      const int64_t block = 2 * pair;
      const auto sink = [&](int64_t row, Floats* lanes, int count) {
        if (linear.bias)
          for (int b = 0; b < count; ++b) lanes[b] = add(lanes[b], load(linear.bias + (block + b) * LANES));
        if constexpr (B == 2) {
          put(row, pair * LANES, lanes);
        } else {
          for (int b = 0; b < count; ++b) put(row, (block + b) * LANES, lanes + b);
        }
      };
      if (block + 1 < blocks) {
        product_of_rows<2, MOST_ROWS>(w, block, ready, 0, rows, [&](int64_t row, Floats* lanes) { sink(row, lanes, 2); });
      } else {
        product_of_rows<1, MOST_ROWS>(w, block, ready, 0, rows, [&](int64_t row, Floats* lanes) { sink(row, lanes, 1); });
      }
    }
  }
  pool.barrier();
}

}  // namespace textmill
