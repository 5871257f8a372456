// Activations as whole numbers of 8 bits, for products with short weights: in groups of 32, each with a scale of its own, as in
// llama.cpp's Q8_0; and what that loses in groups with outliers, which a few inputs of language models have, rounded once more
// (after Dettmers et al. 2022, who keep outliers in 16 bits).
#pragma once

#include <cmath>

#include "lanes.h"
#include "pool.h"

namespace textmill {

constexpr int LANES = 16, GROUP = 32;  // outputs of a block of weights, inputs of a group
constexpr float OUTLIER = 1.5f;  // times the mean of a row's groups' largest numbers: from there on a group is rounded twice

// One group's numbers: about `scale` times its 8-bit ones. `total`: the sum of what all of them stand for; `offset`: what a product
// by `dot` begins with, since it takes each weight for more than it is.
struct RoundedGroup {
  float scale, total;
  int32_t offset, group;
};

// Rows of activations as the kernels read them: as they are, and for short weights rounded; what is left of some groups stands
// in `rest`, where a row's own begin at its first group's place.
struct Activations {
  const float* values;
  int8_t *rounded, *rest_rounded;
  RoundedGroup *groups, *rest_groups;
  int32_t* rests;  // of each row, so many groups

  static Activations in(Scratch& scratch, int64_t rows, int64_t inputs) {
    const int64_t groups = rows * (inputs / GROUP);
    int8_t *rounded = scratch.take<int8_t>(rows * inputs), *rest = scratch.take<int8_t>(rows * inputs);
    RoundedGroup *of_all = scratch.take<RoundedGroup>(groups), *of_rests = scratch.take<RoundedGroup>(groups);
    return {nullptr, rounded, rest, of_all, of_rests, scratch.take<int32_t>(rows)};
  }
};

// Thirty-two numbers as whole ones times a scale; `left`, if asked for, is what they lack.
inline RoundedGroup round_group(const Floats numbers[2], float largest_one, int64_t group, float unit, int8_t* rounded,
                                Floats* left) {
  const float inverse = largest_one > 0.0f ? 127.0f / largest_one : 0.0f, scale = largest_one / 127.0f;
  float total = 0.0f;
  for (int half = 0; half < 2; ++half) {
    const Floats whole = nearest(multiply(numbers[half], all(inverse)));
    store_bytes(rounded + half * LANES, whole);
    if (left) left[half] = subtract(numbers[half], multiply(whole, all(scale)));
    total += sum(whole);  // without error: small whole numbers
  }
  return {scale * unit, scale * unit * total, -BYTE_OFFSET * (int32_t)total, (int32_t)group};
}

inline float largest_of(const Floats numbers[2]) { return largest(larger(absolute(numbers[0]), absolute(numbers[1]))); }

// Rounds one row; scales are those of the activations times the weights' `unit`.
inline void round_row(const float* values, int64_t inputs, float unit, const Activations& x, int64_t row) {
  const int64_t groups = inputs / GROUP, from = row * groups;
  float together = 0.0f;
  for (int64_t group = 0; group < groups; ++group) {
    const Floats numbers[2] = {load(values + group * GROUP), load(values + group * GROUP + LANES)};
    together += x.groups[from + group].scale = largest_of(numbers);
  }
  const float outlier = OUTLIER * together / (float)groups;
  int64_t rest = from;
  for (int64_t group = 0; group < groups; ++group) {
    const Floats numbers[2] = {load(values + group * GROUP), load(values + group * GROUP + LANES)};
    RoundedGroup& of = x.groups[from + group];
    const bool twice = of.scale > outlier;
    Floats left[2];
    of = round_group(numbers, of.scale, group, unit, x.rounded + (from + group) * GROUP, twice ? left : nullptr);
    if (!twice) continue;
    x.rest_groups[rest] = round_group(left, largest_of(left), group, unit, x.rest_rounded + rest * GROUP, nullptr);
    of.total += x.rest_groups[rest++].total;
  }
  x.rests[row] = (int32_t)(rest - from);
}

}  // namespace textmill
