// Sixteen lanes side by side: one register where there is AVX-512 with VNNI, two with AVX2. The kernels are written against
// these few operations alone, and are compiled once for each.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace textmill {

#if defined(__AVX512F__) && defined(__AVX512VNNI__)

constexpr int MOST_ROWS = 8;  // of activations that one kernel multiplies at once: as many as registers hold
constexpr int KEYS = 16;      // that one query is compared with at once
constexpr int BYTE_OFFSET = 128;  // that `dot` takes each weight for more than it is

struct Floats {
  __m512 v;
};
struct Integers {
  __m512i v;
};
struct Bytes {
  __m512i v;
};

inline Floats zero() { return {_mm512_setzero_ps()}; }
inline Floats all(float value) { return {_mm512_set1_ps(value)}; }
inline Floats load(const float* from) { return {_mm512_loadu_ps(from)}; }
inline void store(float* to, Floats a) { _mm512_storeu_ps(to, a.v); }
inline Floats add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats multiply(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats multiply_add(Floats a, Floats b, Floats sum) { return {_mm512_fmadd_ps(a.v, b.v, sum.v)}; }
inline Floats subtract(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats divide(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats larger(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats absolute(Floats a) { return {_mm512_abs_ps(a.v)}; }
inline Floats choose_greater(Floats a, Floats b, Floats then, Floats otherwise) {  // a > b ? then : otherwise
  return {_mm512_mask_mov_ps(otherwise.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), then.v)};
}
inline float sum(Floats a) { return _mm512_reduce_add_ps(a.v); }
// The sum of each, side by side: pairs of registers are folded into one until one is left.
inline void store_sums(float* to, const Floats (&of)[KEYS]) {
  __m512 eight[8], four[4], two[2];
  for (int i = 0; i < 8; ++i) {
    const __m512 a = of[2 * i].v, b = of[2 * i + 1].v;
    eight[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(eight[2 * i]), b = _mm512_castps_pd(eight[2 * i + 1]);
    four[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  // Each quarter of a register has four sums' parts now, of the same four.
  for (int i = 0; i < 2; ++i) {
    const __m512 a = four[2 * i], b = four[2 * i + 1];
    two[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  }
  _mm512_storeu_ps(to, _mm512_add_ps(_mm512_shuffle_f32x4(two[0], two[1], 0x88), _mm512_shuffle_f32x4(two[0], two[1], 0xdd)));
}
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }
inline Floats nearest(Floats a) { return {_mm512_roundscale_ps(a.v, 8)}; }
inline Floats times_power_of_two(Floats a, Floats whole) { return {_mm512_scalef_ps(a.v, whole.v)}; }
inline Floats load_halves(const void* from) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from))}; }
inline void store_bytes(int8_t* to, Floats whole) {
  _mm_storeu_si128((__m128i*)to, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(whole.v)));
}
inline Integers all_integers(int32_t value) { return {_mm512_set1_epi32(value)}; }
inline Floats to_floats(Integers a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Bytes load_bytes(const uint8_t* from) { return {_mm512_loadu_si512(from)}; }
inline Bytes low_nibbles(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes a) { return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))}; }

// sum + Σ of four weights, 128 less than their unsigned bytes, times four signed activations, in each lane: `four` are the
// activations' bytes. Each weight is taken for BYTE_OFFSET more.
inline Integers dot(Bytes weights, int32_t four, Integers sum) {
  return {_mm512_dpbusd_epi32(sum.v, weights.v, _mm512_set1_epi32(four))};
}
// The same of four nibbles, from 0 to 15.
inline Integers dot_nibbles(Bytes weights, int32_t four, Integers sum) { return dot(weights, four, sum); }

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

constexpr int MOST_ROWS = 4;
constexpr int KEYS = 4;
constexpr int BYTE_OFFSET = 0;

struct Floats {
  __m256 low, high;
};
struct Integers {
  __m256i low, high;
};
struct Bytes {
  __m256i low, high;
};

inline Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Floats all(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
inline Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
inline void store(float* to, Floats a) {
  _mm256_storeu_ps(to, a.low);
  _mm256_storeu_ps(to + 8, a.high);
}
inline Floats add(Floats a, Floats b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline Floats multiply(Floats a, Floats b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline Floats multiply_add(Floats a, Floats b, Floats sum) {
  return {_mm256_fmadd_ps(a.low, b.low, sum.low), _mm256_fmadd_ps(a.high, b.high, sum.high)};
}
inline Floats subtract(Floats a, Floats b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline Floats divide(Floats a, Floats b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline Floats larger(Floats a, Floats b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
inline Floats absolute(Floats a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
inline Floats choose_greater(Floats a, Floats b, Floats then, Floats otherwise) {
  return {_mm256_blendv_ps(otherwise.low, then.low, _mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ)),
          _mm256_blendv_ps(otherwise.high, then.high, _mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ))};
}
inline float sum(Floats a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
inline void store_sums(float* to, const Floats (&of)[KEYS]) {
  for (int i = 0; i < KEYS; ++i) to[i] = sum(of[i]);
}
inline float largest(Floats a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
inline Floats nearest(Floats a) { return {_mm256_round_ps(a.low, 8), _mm256_round_ps(a.high, 8)}; }
inline __m256 times_power_of_two(__m256 a, __m256 whole) {  // from -126 to 127
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
  return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
inline Floats times_power_of_two(Floats a, Floats whole) {
  return {times_power_of_two(a.low, whole.low), times_power_of_two(a.high, whole.high)};
}
inline Floats load_halves(const void* from) {
  const __m128i* halves = (const __m128i*)from;
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
inline void store_bytes(int8_t* to, Floats whole) {
  const __m256i pairs = _mm256_packs_epi32(_mm256_cvtps_epi32(whole.low), _mm256_cvtps_epi32(whole.high));
  const __m256i shorts = _mm256_permute4x64_epi64(pairs, 0xd8);
  _mm_storeu_si128((__m128i*)to, _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1)));
}
inline Integers all_integers(int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }
inline Floats to_floats(Integers a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
inline Bytes load_bytes(const uint8_t* from) {
  return {_mm256_loadu_si256((const __m256i*)from), _mm256_loadu_si256((const __m256i*)(from + 32))};
}
inline Bytes low_nibbles(Bytes a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(a.low, mask), _mm256_and_si256(a.high, mask)};
}
inline Bytes high_nibbles(Bytes a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(_mm256_srli_epi16(a.low, 4), mask), _mm256_and_si256(_mm256_srli_epi16(a.high, 4), mask)};
}

// Here a sum of two products must fit into 16 bits: weights up to 255 wouldn't, so they are made signed, and each sign is moved
// to the activation.
inline __m256i dot_half(__m256i weights, __m256i activations, __m256i sum) {
  const __m256i pairs = _mm256_maddubs_epi16(weights, activations);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Integers dot(Bytes weights, int32_t four, Integers sum) {
  const __m256i activations = _mm256_set1_epi32(four), offset = _mm256_set1_epi8(-128);
  const __m256i low = _mm256_xor_si256(weights.low, offset), high = _mm256_xor_si256(weights.high, offset);
  return {dot_half(_mm256_abs_epi8(low), _mm256_sign_epi8(activations, low), sum.low),
          dot_half(_mm256_abs_epi8(high), _mm256_sign_epi8(activations, high), sum.high)};
}
inline Integers dot_nibbles(Bytes weights, int32_t four, Integers sum) {
  const __m256i activations = _mm256_set1_epi32(four);
  return {dot_half(weights.low, activations, sum.low), dot_half(weights.high, activations, sum.high)};
}

#else
#error "these kernels need AVX-512 with VNNI, or AVX2 with FMA and F16C"
#endif

// e to the power of each lane, within two units in the last place; below -87 as there, so never quite 0.
inline Floats exponential(Floats a) {
  a = larger(smaller(a, all(88.0f)), all(-87.0f));
  const Floats whole = nearest(multiply(a, all(1.44269504f)));
  // The rest, in two parts of ln 2 so that it loses no digits, by a polynomial (Cephes' expf).
  const Floats rest = multiply_add(whole, all(2.12194440e-4f), multiply_add(whole, all(-0.693359375f), a));
  Floats power = all(1.9875691500e-4f);
  for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    power = multiply_add(power, rest, all(coefficient));
  power = add(multiply_add(multiply(power, rest), rest, rest), all(1.0f));
  return times_power_of_two(power, whole);
}

}  // namespace textmill
