// The layers of a decoder for any tokens of any rows, in one call; and the product of one matrix. A plain C interface.
//
// All threads go through the same steps, and wait for each other between them. Keys and values lie in the engine's own buffers
// (models/slots.py), so that plain torch and these kernels can take turns at the same rows.

#include "attention.h"
#include "products.h"

namespace textmill {

enum Activation : int32_t { SILU = 0, GELU = 1, GELU_TANH = 2, RELU = 3 };

struct Norm {
  const float* weight;  // null: nothing is done
  const float* bias;    // null: none
  int32_t takes_mean;   // layer norm (Ba et al. 2016), else RMS norm (Zhang & Sennrich 2019)
  float epsilon;
};

struct Linear {
  Weights weights;
  const float* bias;  // null: none
};

struct Layer {
  Norm attention_norm, feed_forward_norm, query_norm, key_norm;
  Linear query_key_value, output, up, down;  // `up`, gated: a block of gates, then the block that they gate, and so on
  float *keys, *values;                      // (rows, key_value_heads, length, head_dim)
  int64_t window;                            // 0: all
  int32_t rotation;                          // which of the two tables
};

struct Decoder {
  int64_t width, heads, key_value_heads, head_dim, feed_forward_width, length;
  int32_t activation, gated, post_norm, layers;
  const Layer* layer;
  Norm norm;
  const float* slopes;  // ALiBi's, one a head; null: none
};

struct Tokens {
  int64_t count;
  const int64_t *row, *place;                   // of each token
  const float *cosine[2], *sine[2];             // (count, head_dim / 2); null: positions aren't turned
};

inline float activated(float x, int32_t kind) {
  if (kind == RELU) return std::max(x, 0.0f);
  return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
}

inline Floats activated(Floats x, int32_t kind) {
  if (kind == SILU) return divide(x, add(all(1.0f), exponential(multiply(x, all(-1.0f)))));
  if (kind == GELU_TANH) {  // x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³)
    const Floats cube = multiply(multiply(x, x), x);
    const Floats twice = multiply(multiply_add(cube, all(0.044715f), x), all(-1.5957691f));
    return divide(x, add(all(1.0f), exponential(twice)));
  }
  float lanes[LANES];
  store(lanes, x);
  for (float& lane : lanes) lane = activated(lane, kind);
  return load(lanes);
}

// out = norm(x), of `width` numbers, a multiple of LANES; out may be x.
inline void normalise(const Norm& norm, const float* x, int64_t width, float* out) {
  if (norm.weight == nullptr) {
    if (out != x) std::memcpy(out, x, width * sizeof(float));
    return;
  }
  Floats total = zero(), squares = zero();
  for (int64_t i = 0; i < width; i += LANES) total = add(total, load(x + i));
  const float mean = norm.takes_mean ? sum(total) / width : 0.0f;
  for (int64_t i = 0; i < width; i += LANES) {
    const Floats apart = subtract(load(x + i), all(mean));
    squares = multiply_add(apart, apart, squares);
  }
  const Floats inverse = all(1.0f / std::sqrt(sum(squares) / width + norm.epsilon));
  for (int64_t i = 0; i < width; i += LANES) {
    const Floats normal = multiply(multiply(subtract(load(x + i), all(mean)), inverse), load(norm.weight + i));
    store(out + i, norm.bias ? add(normal, load(norm.bias + i)) : normal);
  }
}

// What one thread needs of its own: rows as a product takes them, normalised and rounded. Every thread makes them for itself,
// which costs less than waiting for the others to have made theirs.
struct Own {
  float* normal;
  uint8_t* rounding;
  float* scores;
};

constexpr int64_t PIECES = 8;  // of a product, for each thread

// y = x · Wᵀ + bias, for rows of x; `put(row, place, lanes)` gets sixteen outputs at a time, with B = 2 those of two blocks.
template <int B, class Put>
void shared_product(Pool& pool, const Own& own, const Linear& linear, const float* x, int64_t rows, const Put& put) {
  const Weights& w = linear.weights;
  const int64_t groups = w.inputs / GROUP, blocks = (w.outputs + LANES - 1) / LANES, pairs = (blocks + 1) / 2;
  int8_t* rounded = (int8_t*)own.rounding;
  float* scales = (float*)(own.rounding + rows * w.inputs);
  int32_t* sums = (int32_t*)(scales + rows * groups);
  if (w.format != FLOAT32) round_activations(x, rows * w.inputs, rounded, scales, sums);
  const Activations activations{x, rounded, scales, sums};
  const int64_t piece = std::max<int64_t>(1, pairs / (PIECES * pool.size));
  for (int64_t taken; (taken = pool.take() * piece) < pairs;) {
    for (int64_t pair = taken; pair < std::min(taken + piece, pairs); ++pair) {
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
        product_of_rows<2, MOST_ROWS>(w, block, activations, 0, rows, [&](int64_t row, Floats* lanes) { sink(row, lanes, 2); });
      } else {
        product_of_rows<1, MOST_ROWS>(w, block, activations, 0, rows, [&](int64_t row, Floats* lanes) { sink(row, lanes, 1); });
      }
    }
  }
  pool.barrier();
}

// Turns the pairs (i, i + d/2) of one head.
inline void turn(float* head, int64_t dim, const float* cosine, const float* sine) {
  for (int64_t i = 0; i < dim / 2; ++i) {
    const float first = head[i], second = head[i + dim / 2];
    head[i] = first * cosine[i] - second * sine[i];
    head[i + dim / 2] = second * cosine[i] + first * sine[i];
  }
}

// Normalises and turns a token's queries and keys, and stores its keys and values.
inline void store_token(const Decoder& d, const Layer& layer, const Tokens& tokens, int64_t token, float* query_key_value) {
  const int64_t dim = d.head_dim, turned = d.heads + d.key_value_heads;
  for (int64_t head = 0; head < turned; ++head) {
    float* at = query_key_value + head * dim;
    normalise(head < d.heads ? layer.query_norm : layer.key_norm, at, dim, at);
    const float* cosine = tokens.cosine[layer.rotation];
    if (cosine) turn(at, dim, cosine + token * (dim / 2), tokens.sine[layer.rotation] + token * (dim / 2));
  }
  for (int64_t head = 0; head < d.key_value_heads; ++head) {
    const int64_t to = ((tokens.row[token] * d.key_value_heads + head) * d.length + tokens.place[token]) * dim;
    std::memcpy(layer.keys + to, query_key_value + (d.heads + head) * dim, dim * sizeof(float));
    std::memcpy(layer.values + to, query_key_value + (turned + head) * dim, dim * sizeof(float));
  }
}

}  // namespace textmill

using namespace textmill;

extern "C" {

// Whether this processor has the instructions that this library was compiled for.
int textmill_runs_here() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
}

void* textmill_pool_new(int threads) { return new Pool(threads); }
void textmill_pool_free(void* pool) { delete (Pool*)pool; }

// y (rows, outputs) = x (rows, inputs) · Wᵀ + bias. `scratch`: for each thread, rows · inputs · 2 bytes.
void textmill_product(void* pool, const Linear* linear, const float* x, int64_t rows, float* y, uint8_t* scratch) {
  Pool& threads = *(Pool*)pool;
  const int64_t outputs = linear->weights.outputs;
  threads.run([&](int thread) {
    const Own own{nullptr, scratch + thread * rows * linear->weights.inputs * 2, nullptr};
    shared_product<1>(threads, own, *linear, x, rows, [&](int64_t row, int64_t place, const Floats* lanes) {
      float* to = y + row * outputs + place;
      if (place + LANES <= outputs) return store(to, *lanes);
      float some[LANES];
      store(some, *lanes);
      std::memcpy(to, some, (outputs - place) * sizeof(float));
    });
  });
}

// x (count, width): embeddings in, normalised hidden states out. `scratch`, in floats: count · (query, key and value + heads ·
// head_dim + feed_forward_width), and for each thread count · (width + half the widest of width, heads · head_dim and
// feed_forward_width) + heads · (length + 16).
void textmill_decoder(void* pool, const Decoder* decoder, const Tokens* of, float* x, float* scratch) {
  const Decoder& d = *decoder;
  const Tokens& tokens = *of;
  Pool& threads = *(Pool*)pool;
  const int64_t count = tokens.count, found_width = d.heads * d.head_dim, groups = d.heads / d.key_value_heads;
  const int64_t projected_width = found_width + 2 * d.key_value_heads * d.head_dim;
  const int64_t widest = std::max({d.width, found_width, d.feed_forward_width});
  float* projected = scratch;
  float* found = projected + count * projected_width;
  float* inner = found + count * found_width;
  float* of_threads = inner + count * d.feed_forward_width;
  threads.run([&](int thread) {
    float* normal = of_threads + thread * (count * (d.width + widest / 2) + d.heads * (d.length + LANES));
    float* rounding = normal + count * d.width;
    const Own own{normal, (uint8_t*)rounding, rounding + count * widest / 2};
    const auto add_to_x = [&](int64_t token, int64_t place, const Floats* lanes) {
      float* to = x + token * d.width + place;
      store(to, add(load(to), *lanes));
    };
    const auto normal_x = [&](const Norm& norm) -> const float* {
      for (int64_t token = 0; token < count; ++token) normalise(norm, x + token * d.width, d.width, normal + token * d.width);
      return normal;
    };
    const auto normalise_x = [&](const Norm& norm) {
      for (int64_t token; (token = threads.take()) < count;) normalise(norm, x + token * d.width, d.width, x + token * d.width);
      threads.barrier();
    };
    for (int64_t number = 0; number < d.layers; ++number) {
      const Layer& layer = d.layer[number];
      const float* into = d.post_norm ? x : normal_x(layer.attention_norm);
      shared_product<1>(threads, own, layer.query_key_value, into, count, [&](int64_t token, int64_t place, const Floats* lanes) {
        store(projected + token * projected_width + place, *lanes);
      });
      for (int64_t token; (token = threads.take()) < count;)
        store_token(d, layer, tokens, token, projected + token * projected_width);
      threads.barrier();
      const Attention attention{layer.keys, layer.values, d.length, d.head_dim, d.key_value_heads, groups, layer.window, d.slopes};
      for (int64_t task; (task = threads.take()) < count * d.key_value_heads;) {
        const int64_t token = task / d.key_value_heads, head = task % d.key_value_heads, first = head * groups * d.head_dim;
        const float* queries = projected + token * projected_width + first;
        attention.look(tokens.row[token], tokens.place[token], head, queries, found + token * found_width + first, own.scores);
      }
      threads.barrier();
      shared_product<1>(threads, own, layer.output, found, count, add_to_x);
      if (d.post_norm) normalise_x(layer.attention_norm);
      into = d.post_norm ? x : normal_x(layer.feed_forward_norm);
      if (d.gated) {
        shared_product<2>(threads, own, layer.up, into, count, [&](int64_t token, int64_t place, const Floats* lanes) {
          store(inner + token * d.feed_forward_width + place, multiply(activated(lanes[0], d.activation), lanes[1]));
        });
      } else {
        shared_product<1>(threads, own, layer.up, into, count, [&](int64_t token, int64_t place, const Floats* lanes) {
          store(inner + token * d.feed_forward_width + place, activated(*lanes, d.activation));
        });
      }
      shared_product<1>(threads, own, layer.down, inner, count, add_to_x);
      if (d.post_norm) normalise_x(layer.feed_forward_norm);
    }
    normalise_x(d.norm);
  });
}
}
