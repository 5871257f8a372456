// What a training step does beside its large products: norms, turned heads, gates, attention, the loss, and the update's matrices,
// each with its gradient and in as few passes over memory as it takes. A plain C interface.

#include <cstring>

#include "activations.h"
#include "polar.h"
#include "scores.h"

namespace textmill {

constexpr int64_t PIECES = 64;  // so many parts of the rows are shared out, and have sums of their own

struct Norm {
  const float *weight, *bias;  // bias: null for none
  int32_t takes_mean;          // layer norm (Ba et al. 2016), else RMS norm (Zhang & Sennrich 2019)
  float epsilon;
};

// statistics (rows, 2): the mean, or 0, and 1 / the deviation from it.
inline void statistics_of(const Norm& norm, const float* x, int64_t width, float* statistics) {
  Floats total = zero(), squares = zero();
  if (norm.takes_mean)
    for (int64_t i = 0; i < width; i += 16) total = add(total, load(x + i));
  const float mean = norm.takes_mean ? sum(total) / width : 0.0f;
  for (int64_t i = 0; i < width; i += 16) {
    const Floats apart = subtract(load(x + i), all(mean));
    squares = multiply_add(apart, apart, squares);
  }
  statistics[0] = mean;
  statistics[1] = 1.0f / std::sqrt(sum(squares) / width + norm.epsilon);
}

inline Floats normal(const float* x, const float* statistics) {
  return multiply(subtract(load(x), all(statistics[0])), all(statistics[1]));
}

// The gradient of one row's norm, given (width) -> of_x; what it adds to those of weight and bias.
inline void norm_backward(const Norm& norm, const float* given, const float* x, const float* statistics, int64_t width, float* of_x,
                          float* of_weight, float* of_bias) {
  Floats along = zero(), level = zero();
  for (int64_t i = 0; i < width; i += 16) {
    const Floats gradient = load(given + i), product = multiply(gradient, normal(x + i, statistics));
    store(of_weight + i, add(load(of_weight + i), product));
    if (of_bias) store(of_bias + i, add(load(of_bias + i), gradient));
    along = multiply_add(product, load(norm.weight + i), along);
    if (norm.takes_mean) level = multiply_add(gradient, load(norm.weight + i), level);
  }
  const Floats slope = all(-sum(along) / width), mean = all(-sum(level) / width), inverse = all(statistics[1]);
  for (int64_t i = 0; i < width; i += 16) {
    const Floats own = multiply_add(load(given + i), load(norm.weight + i), mean);
    store(of_x + i, multiply(multiply_add(normal(x + i, statistics), slope, own), inverse));
  }
}

// The sums of all pieces, in their order.
inline void gather(const std::vector<float>& parts, int64_t width, int64_t from, int64_t stride, float* to) {
  std::fill(to, to + width, 0.0f);
  for (int64_t piece = 0; piece < PIECES; ++piece)
    for (int64_t i = 0; i < width; i += 16) store(to + i, add(load(to + i), load(parts.data() + piece * stride + from + i)));
}

// Heads (tokens of all rows, heads, width) that may be normalised and turned: (rows, heads, tokens, width).
struct Turn {
  int64_t rows, tokens, heads, width;
  int64_t token_stride;         // of the input, in numbers
  int64_t table_stride;         // of a row in the tables; 0: one for all
  const float *cosine, *sine;   // (rows or 1, tokens, width / 2); null: not turned
  Norm norm;                    // its weight is null: not normalised
  int32_t threads;
};

// Turned by the angles, or back.
inline void turn(const Turn& t, int64_t row, int64_t token, const float* from, float* to, bool back) {
  const int64_t half = t.width / 2, at = row * t.table_stride + token * half;
  for (int64_t i = 0; i < half; i += 16) {
    const Floats cosine = load(t.cosine + at + i), sine = load(t.sine + at + i), first = load(from + i), second = load(from + half + i);
    const Floats across = multiply(second, sine), over = multiply(first, sine);
    store(to + i, back ? multiply_add(first, cosine, across) : subtract(multiply(first, cosine), across));
    store(to + half + i, back ? subtract(multiply(second, cosine), over) : multiply_add(second, cosine, over));
  }
}

constexpr int64_t WIDEST_HEAD = 512;

inline Floats load_some(const float* from, int64_t count, float otherwise) {
  if (count >= 16) return load(from);
  float lanes[16];
  std::fill(lanes, lanes + 16, otherwise);
  std::copy(from, from + count, lanes);
  return load(lanes);
}

inline void store_some(float* to, int64_t count, Floats value) {
  if (count >= 16) return store(to, value);
  float lanes[16];
  store(lanes, value);
  std::copy(lanes, lanes + count, to);
}

}  // namespace textmill

using namespace textmill;

extern "C" {

int textmill_training_runs_here() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl");
#else
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
}

void textmill_set_openmp(void* parallel) { openmp = (Parallel)parallel; }

void textmill_norm(int threads, const Norm* norm, const float* x, int64_t rows, int64_t width, float* y, float* statistics) {
  share_out(threads, PIECES, [&](int64_t piece) {
    const Rows part(piece, PIECES, rows);
    for (int64_t row = part.begin; row < part.end; ++row) {
      const float* from = x + row * width;
      statistics_of(*norm, from, width, statistics + 2 * row);
      for (int64_t i = 0; i < width; i += 16) {
        const Floats bias = norm->bias ? load(norm->bias + i) : zero();
        store(y + row * width + i, multiply_add(normal(from + i, statistics + 2 * row), load(norm->weight + i), bias));
      }
    }
  });
}

// of_weight, of_bias (or null): (width).
void textmill_norm_backward(int threads, const Norm* norm, const float* given, const float* x, const float* statistics, int64_t rows,
                            int64_t width, float* of_x, float* of_weight, float* of_bias) {
  std::vector<float> parts(2 * PIECES * width);
  share_out(threads, PIECES, [&](int64_t piece) {
    const Rows part(piece, PIECES, rows);
    float* own = parts.data() + 2 * piece * width;
    for (int64_t row = part.begin; row < part.end; ++row)
      norm_backward(*norm, given + row * width, x + row * width, statistics + 2 * row, width, of_x + row * width, own,
                    of_bias ? own + width : nullptr);
  });
  gather(parts, width, 0, 2 * width, of_weight);
  if (of_bias) gather(parts, width, width, 2 * width, of_bias);
}

// statistics (rows · tokens, heads, 2), where it is normalised.
void textmill_turn(const Turn* t, const float* x, float* y, float* statistics) {
  share_out(t->threads, PIECES, [&](int64_t piece) {
    const Rows part(piece, PIECES, t->rows * t->tokens);
    for (int64_t place = part.begin; place < part.end; ++place) {
      const int64_t row = place / t->tokens, token = place % t->tokens;
      for (int64_t head = 0; head < t->heads; ++head) {
        const float* from = x + place * t->token_stride + head * t->width;
        float* to = y + ((row * t->heads + head) * t->tokens + token) * t->width;
        float normalised[WIDEST_HEAD];
        if (t->norm.weight) {
          float* own = statistics + 2 * (place * t->heads + head);
          statistics_of(t->norm, from, t->width, own);
          float* into = t->cosine ? normalised : to;
          for (int64_t i = 0; i < t->width; i += 16) store(into + i, multiply(normal(from + i, own), load(t->norm.weight + i)));
          from = into;
        }
        if (t->cosine) turn(*t, row, token, from, to, false);
      }
    }
  });
}

// given (rows, heads, tokens, width) -> of_x (rows · tokens, heads · width) and, where it is normalised, of_weight (width).
void textmill_turn_backward(const Turn* t, const float* given, const float* x, const float* statistics, float* of_x, float* of_weight) {
  std::vector<float> parts(PIECES * t->width);
  share_out(t->threads, PIECES, [&](int64_t piece) {
    const Rows part(piece, PIECES, t->rows * t->tokens);
    for (int64_t place = part.begin; place < part.end; ++place) {
      const int64_t row = place / t->tokens, token = place % t->tokens;
      for (int64_t head = 0; head < t->heads; ++head) {
        const float* from = given + ((row * t->heads + head) * t->tokens + token) * t->width;
        float* to = of_x + (place * t->heads + head) * t->width;
        float back[WIDEST_HEAD];
        if (t->cosine) {
          float* into = t->norm.weight ? back : to;
          turn(*t, row, token, from, into, true);
          from = into;
        }
        if (t->norm.weight)
          norm_backward(t->norm, from, x + place * t->token_stride + head * t->width, statistics + 2 * (place * t->heads + head),
                        t->width, to, parts.data() + piece * t->width, nullptr);
      }
    }
  });
  if (of_weight) gather(parts, t->width, 0, t->width, of_weight);
}

// y (rows, width), side by side.
void textmill_activate(const Inner* inner, float* y) {
  by_kind(inner->kind, [&]<Activation KIND>() {
    share_out(inner->threads, inner->rows,
              [&](int64_t row) { activate<KIND>(*inner, row * inner->apart, inner->width, y + row * inner->width); });
  });
}

void textmill_activate_backward(const Inner* inner, const float* given, float* y, float* of_gate, float* of_up) {
  by_kind(inner->kind, [&]<Activation KIND>() {
    share_out(inner->threads, inner->rows, [&](int64_t row) {
      const int64_t at = row * inner->width;
      activate_backward<KIND>(*inner, row * inner->apart, inner->width, given + at, y + at, of_gate, of_up);
    });
  });
}

void textmill_attend(const Scores* scores) {
  share_out(scores->threads, scores->rows * scores->heads,
            [&](int64_t piece) { attend(*scores, piece / scores->heads, piece % scores->heads); });
}

// The gradient of what was found -> those of query, key and value.
void textmill_attend_backward(const Scores* scores, const Heads* gradient, const Heads* of_query, const Heads* of_key,
                              const Heads* of_value) {
  const int64_t heads = scores->key_value_heads;
  share_out(scores->threads, scores->rows * heads, [&](int64_t piece) {
    attend_backward(*scores, *gradient, *of_query, *of_key, *of_value, piece / heads, piece % heads);
  });
}

// logits (rows, vocabulary), which lie `stride` apart, become the gradient of the rows' loss; losses (rows, 2): with smoothing and
// z-loss, and the plain nats. A target below 0 doesn't count.
void textmill_cross_entropy(int threads, float* logits, int64_t rows, int64_t vocabulary, int64_t stride, const float* bias,
                            const int64_t* targets, float smoothing, float z_loss, float* losses) {
  const int64_t pieces = std::min(rows, PIECES);
  share_out(threads, pieces, [&](int64_t piece) {
    const Rows part(piece, pieces, rows);
    for (int64_t row = part.begin; row < part.end; ++row) {
      float *own = logits + row * stride, *loss = losses + 2 * row;
      const int64_t target = targets[row];
      if (target < 0) {
        std::fill(own, own + vocabulary, 0.0f);
        loss[0] = loss[1] = 0.0f;
        continue;
      }
      Floats most = all(-std::numeric_limits<float>::infinity()), total = zero();
      for (int64_t i = 0; i < vocabulary; i += 16) {
        Floats x = load_some(own + i, vocabulary - i, -std::numeric_limits<float>::infinity());
        if (bias) store_some(own + i, vocabulary - i, x = add(x, load_some(bias + i, vocabulary - i, 0.0f)));
        most = larger(most, x);
        if (smoothing != 0) total = add(total, load_some(own + i, vocabulary - i, 0.0f));
      }
      const float top = largest(most), chosen = own[target], mean = smoothing != 0 ? sum(total) / vocabulary : chosen;
      total = zero();
      for (int64_t i = 0; i < vocabulary; i += 16) {
        const int64_t left = vocabulary - i;
        const Floats power = exponential(subtract(load_some(own + i, left, 0.0f), all(top)));
        store_some(own + i, left, power);
        total = add(total, left >= 16 ? power : load_some(own + i, left, 0.0f));
      }
      const float denominator = sum(total), log_sum = std::log(denominator) + top;
      loss[1] = log_sum - chosen;
      loss[0] = loss[1] + smoothing * (chosen - mean) + z_loss * log_sum * log_sum;
      // d loss / d logits = softmax · (1 + 2 · z_loss · logsumexp) - (1 - smoothing) · onehot - smoothing / V
      const Floats factor = all((1 + 2 * z_loss * log_sum) / denominator), spread = all(-smoothing / vocabulary);
      for (int64_t i = 0; i < vocabulary; i += 16)
        store_some(own + i, vocabulary - i, multiply_add(load_some(own + i, vocabulary - i, 0.0f), factor, spread));
      own[target] -= 1 - smoothing;
    }
  });
}

// Each of `count` matrices (rows × columns) becomes the orthogonal one next to it.
void textmill_orthogonalise(int threads, float* matrices, int64_t count, int64_t rows, int64_t columns, const float* coefficients,
                            int64_t steps) {
  share_out(threads, count, [&](int64_t piece) { orthogonalise(matrices + piece * rows * columns, rows, columns, coefficients, steps); });
}

}  // extern "C"
