// The layers of a decoder for any tokens of any rows, in one call; the product of one matrix, and its rows. A plain C interface.
//
// All threads go through the same steps, and wait for each other between them. Keys and values lie in the engine's own buffers
// (models/slots.py), so that plain torch and these kernels can take turns at the same rows.

#include "activations.h"
#include "attention.h"
#include "fitting.h"
#include "rows.h"
#include "shared.h"

namespace textmill {

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
  const float* slopes;              // ALiBi's, one a head; null: none
  const float *cosine[2], *sine[2];  // of each place that is read, (length, head_dim / 2); null: places aren't turned
};

struct Tokens {
  int64_t count;
  const int64_t *row, *place;  // of each token
};

inline Floats activated(Floats x, int32_t kind) {
  by_kind(kind, [&]<Activation KIND>() { x = activated<KIND>(x).value; });
  return x;
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
    const int64_t of_place = tokens.place[token] * (dim / 2);
    if (const float* cosine = d.cosine[layer.rotation]) turn(at, dim, cosine + of_place, d.sine[layer.rotation] + of_place);
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

void* textmill_pool_new(int threads, int briefly) { return new Pool(threads, briefly); }
void textmill_pool_free(void* pool) { delete (Pool*)pool; }

// y (rows, outputs) = x (rows, inputs) · Wᵀ + bias. Returns whether there was memory for it.
int textmill_product(void* pool, const Linear* linear, const float* x, int64_t rows, float* y) try {
  Pool& threads = *(Pool*)pool;
  const int64_t outputs = linear->weights.outputs;
  threads.scratch.reset();
  const Rooms rooms(threads, rows, linear->weights.inputs);
  threads.run([&](int thread) {
    shared_product<1>(threads, rooms, thread, *linear, nullptr, x, rows, [&](int64_t row, int64_t place, const Floats* lanes) {
      float* to = y + row * outputs + place;
      if (place + LANES <= outputs) return store(to, *lanes);
      float some[LANES];
      store(some, *lanes);
      std::memcpy(to, some, (outputs - place) * sizeof(float));
    });
  });
  return 1;
} catch (const std::bad_alloc&) {
  return 0;
}

// `to` (count, width): the rows of a matrix that have these numbers, in float32. Returns whether it has them all.
int textmill_rows(const Weights* weights, const int64_t* numbers, int64_t count, int64_t width, float* to) {
  if (std::any_of(numbers, numbers + count, [&](int64_t number) { return number < 0 || number >= weights->outputs; })) return 0;
  for (int64_t at = 0; at < count; ++at) copy_row(*weights, numbers[at], width, to + at * width);
  return 1;
}

// x (count, width): embeddings in, normalised hidden states out. Returns whether there was memory for it.
int textmill_decoder(void* pool, const Decoder* decoder, const Tokens* of, float* x) try {
  const Decoder& d = *decoder;
  const Tokens& tokens = *of;
  Pool& threads = *(Pool*)pool;
  const int64_t count = tokens.count, found_width = d.heads * d.head_dim, groups = d.heads / d.key_value_heads;
  const int64_t projected_width = found_width + 2 * d.key_value_heads * d.head_dim;
  threads.scratch.reset();
  float* projected = threads.scratch.take<float>(count * projected_width);
  float* found = threads.scratch.take<float>(count * found_width);
  float* inner = threads.scratch.take<float>(count * d.feed_forward_width);
  float* scores = threads.scratch.take<float>(threads.size * (d.length + LANES));
  const Rooms rooms(threads, count, std::max({d.width, found_width, d.feed_forward_width}));
  threads.run([&](int thread) {
    float* own_scores = scores + thread * (d.length + LANES);
    const auto product = [&]<int B>(const Linear& linear, const Norm* norm, const float* from, const auto& put) {
      shared_product<B>(threads, rooms, thread, linear, norm, from, count, put);
    };
    const auto add_to_x = [&](int64_t token, int64_t place, const Floats* lanes) {
      float* to = x + token * d.width + place;
      store(to, add(load(to), *lanes));
    };
    const auto normalise_x = [&](const Norm& norm) {
      for (int64_t token; (token = threads.take()) < count;) normalise(norm, x + token * d.width, d.width, x + token * d.width);
      threads.barrier();
    };
    for (int64_t number = 0; number < d.layers; ++number) {
      const Layer& layer = d.layer[number];
      const auto before = [&](const Norm& norm) { return d.post_norm ? nullptr : &norm; };
      product.template operator()<1>(layer.query_key_value, before(layer.attention_norm), x,
                                     [&](int64_t token, int64_t place, const Floats* lanes) {
                                       store(projected + token * projected_width + place, *lanes);
                                     });
      for (int64_t token; (token = threads.take()) < count;)
        store_token(d, layer, tokens, token, projected + token * projected_width);
      threads.barrier();
      const Attention attention{layer.keys, layer.values, d.length, d.head_dim, d.key_value_heads, groups, layer.window, d.slopes};
      for (int64_t task; (task = threads.take()) < count * d.heads;) {
        const int64_t token = task / d.heads, head = task % d.heads;
        const float* query = projected + token * projected_width + head * d.head_dim;
        attention.look(tokens.row[token], tokens.place[token], head, query, found + token * found_width + head * d.head_dim,
                       own_scores);
      }
      threads.barrier();
      product.template operator()<1>(layer.output, nullptr, found, add_to_x);
      if (d.post_norm) normalise_x(layer.attention_norm);
      const Norm* norm = before(layer.feed_forward_norm);
      if (d.gated) {
        product.template operator()<2>(layer.up, norm, x, [&](int64_t token, int64_t place, const Floats* lanes) {
          store(inner + token * d.feed_forward_width + place, multiply(activated(lanes[0], d.activation), lanes[1]));
        });
      } else {
        product.template operator()<1>(layer.up, norm, x, [&](int64_t token, int64_t place, const Floats* lanes) {
          store(inner + token * d.feed_forward_width + place, activated(*lanes, d.activation));
        });
      }
      product.template operator()<1>(layer.down, nullptr, inner, add_to_x);
      if (d.post_norm) normalise_x(layer.feed_forward_norm);
    }
    normalise_x(d.norm);
  });
  return 1;
} catch (const std::bad_alloc&) {
  return 0;
}

// For `count` groups of weights (count, GROUP, LANES): the scales and lowest values (count, LANES) that fit sixteen levels best; or,
// where `lowest` is null, the scales that fit whole numbers of 8 bits best.
void textmill_fit(void* pool, const float* weights, int64_t count, float* scales, float* lowest) {
  constexpr int64_t PIECE = 64;
  Pool& threads = *(Pool*)pool;
  threads.run([&](int) {
    for (int64_t taken; (taken = threads.take() * PIECE) < count;)
      for (int64_t group = taken; group < std::min(taken + PIECE, count); ++group) {
        const float* from = weights + group * GROUP * LANES;
        lowest ? fit_line(from, scales + group * LANES, lowest + group * LANES) : fit_scale(from, scales + group * LANES);
      }
  });
}
}
