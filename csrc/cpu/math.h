// m: the maths of the op table (core/functors.h) for V = float, double and the vectors of both. One
// formula serves scalars and vectors, so an element's value does not depend on the loop that
// computes it. NaN, infinities, denormals and signed zeros follow IEEE 754; the errors in units of
// the last place are held to limits by tests/native/maths_test.
//
//   - exp: x = k ln2 + r, |r| <= ln2 / 2; e^r = 1 + r + r^2 q(r), times 2^k in two steps, so that
//     denormal results are rounded once
//   - log: x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); s = f / (2 + f);
//     log(1 + f) = 2 s + s^3 R(s^2)
//   - tanh: e / (e + 2) with e = expm1(2 |x|), the sign put back
//   - pow: of floats, exp2(y log2 |x|) in double; of doubles, the C library's, lane by lane
//   - the others: math_special.h
//
// q and R are minimax polynomials (Remez exchange in 60 digits); their relative errors are below
// 2^-30 for float and 2^-59 for double.
#pragma once

#include "simd.h"

namespace NEEDLE_NS::m {

template <class V>
NEEDLE_INLINE V constant(double c) {
  return broadcast<V>(static_cast<scalar_of<V>>(c));
}

namespace {  // constants, kept from becoming symbols

template <class T>
struct format;
template <>
struct format<float> {
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kRound =
      0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  static constexpr float kLargest = 0x1.fffffep127f;
  static constexpr float kMinNormal = 0x1p-126f, kRescue = 0x1p24f;
  static constexpr int kRescueBits = 24;
  static constexpr float kLn2High = 0x1.62ep-1f;  // 12 bits: exact times any exponent
  static constexpr float kExpLow = -105.0f, kExpHigh = 89.0f, kTanhOne = 20.0f;
  static constexpr float kSqrtHalf = 0x1.6a09e6p-1f;
  static constexpr float kExp[] = {0.50000000684270176f,   0.16666665859339087f,
                                   0.04166629218193933f,   0.008333498405287958f,
                                   0.0013944868296634214f, 0.00019790110825517342f};
  static constexpr float kLog[] = {0.66666776711489613f, 0.39977496183317220f,
                                   0.29873059679922563f};
};
template <>
struct format<double> {
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kLargest = 0x1.fffffffffffffp1023;
  static constexpr double kMinNormal = 0x1p-1022, kRescue = 0x1p54;
  static constexpr int kRescueBits = 54;
  static constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits
  static constexpr double kExpLow = -747.0, kExpHigh = 710.0, kTanhOne = 44.0;
  static constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
  static constexpr double kExp[] = {
      0.50000000000000000449,    0.16666666666666683738,    0.041666666666666083274,
      0.0083333333333167866884,  0.0013888888889119128175,  0.00019841269897011248216,
      2.4801586922267100733e-05, 2.7557234222213091046e-06, 2.7557583914930275638e-07,
      2.5112263857976277751e-08, 2.0826415825438254825e-09};
  static constexpr double kLog[] = {0.6666666666666734891,  0.39999999999411113539,
                                    0.28571428743259299371, 0.22222198476224612737,
                                    0.18183569732552245155, 0.15313903309495016663,
                                    0.14797508217555186181};
};

constexpr long double kLn2 = 0.693147180559945309417232121458176568L;
template <class T>
constexpr T ln2_low = static_cast<T>(kLn2 - static_cast<long double>(format<T>::kLn2High));

}  // namespace

template <class V, int N>
NEEDLE_INLINE V polynomial(V x, const scalar_of<V> (&c)[N]) {
  V sum = broadcast<V>(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, broadcast<V>(c[i]));
  return sum;
}

// 2^k for k in the range of normal numbers.
template <class V>
NEEDLE_INLINE V power_of_two(int_of<V> k) {
  using F = format<scalar_of<V>>;
  return from_bits<V>((k + F::kBias) << F::kMantissa);
}

// x = k ln2 + r; returns e^r - 1. `shifted` is k + kRound.
template <class V>
NEEDLE_INLINE V expm1_reduced(V x, V& shifted) {
  using T = scalar_of<V>;
  using F = format<T>;
  shifted = fma(x, constant<V>(1 / static_cast<double>(kLn2)), broadcast<V>(F::kRound));
  const V n = shifted - broadcast<V>(F::kRound);
  const V r = fma(n, broadcast<V>(-ln2_low<T>), fma(n, broadcast<V>(-F::kLn2High), x));
  return fma(r * r, polynomial(r, F::kExp), r);
}

// The k of above.
template <class V>
NEEDLE_INLINE int_of<V> exponent_of(V shifted) {
  return bits(shifted) - bits(format<scalar_of<V>>::kRound);
}

// x with most at most and least at least; NaN stays.
template <class V>
NEEDLE_INLINE V within(V x, double least, double most) {
  return at_least(at_most(x, constant<V>(most)), constant<V>(least));
}

template <class V>
NEEDLE_INLINE V exp(V x) {
  using F = format<scalar_of<V>>;
  V shifted;
  const V e = expm1_reduced(within(x, F::kExpLow, F::kExpHigh), shifted) + constant<V>(1);
  if constexpr (has_scale<V>) return scale(e, shifted - broadcast<V>(F::kRound));
  const int_of<V> k = exponent_of(shifted), half = k >> 1;
  return e * power_of_two<V>(half) * power_of_two<V>(k - half);
}

// A normal x > 0 as 2^k (1 + f). The exponent relative to sqrt(1/2), biased to stay positive, is
// put into the mantissa of 2^kMantissa to become a number: AVX2 cannot convert 64-bit integers.
// Unsigned, since other x may come along.
template <class V>
NEEDLE_INLINE V split(V x, V& k) {
  using T = scalar_of<V>;
  using F = format<T>;
  using U = uint_of<V>;
  constexpr auto bias = static_cast<uint_of<T>>(F::kBias) << F::kMantissa;
  constexpr T two_to_mantissa = F::kRound / T(1.5);
  const U word = (U)bits(x);
  const U exponent = (word - (uint_of<T>)bits(F::kSqrtHalf) + bias) >> F::kMantissa;
  k = from_bits<V>((int_of<V>)exponent | bits(two_to_mantissa)) -
      broadcast<V>(two_to_mantissa + F::kBias);
  return from_bits<V>((int_of<V>)(word - (exponent << F::kMantissa) + bias)) - constant<V>(1);
}

template <class V>
NEEDLE_INLINE V log(V x) {
  using T = scalar_of<V>;
  using F = format<T>;
  const auto tiny = x < broadcast<V>(F::kMinNormal);
  const V scaled = tiny ? x * broadcast<V>(F::kRescue) : x;
  V k;
  const V f = split(scaled, k);
  k = k - (tiny ? constant<V>(F::kRescueBits) : constant<V>(0));
  const V s = f / (f + constant<V>(2));
  const V z = s * s;
  const V half_square = constant<V>(0.5) * f * f;
  const V tail = fma(s, fma(z, polynomial(z, F::kLog), half_square), k * broadcast<V>(ln2_low<T>));
  V y = fma(k, broadcast<V>(F::kLn2High), f - (half_square - tail));
  const V infinity = constant<V>(__builtin_inf()), zero = constant<V>(0);
  y = x < infinity ? y : x;  // infinity and NaN
  y = x < zero ? constant<V>(__builtin_nan("")) : y;
  return x == zero ? -infinity : y;
}

template <class V>
NEEDLE_INLINE V tanh(V x) {
  using T = scalar_of<V>;
  const int_of<V> sign = bits(x) & bits(T(-0.0));
  const V one = broadcast<V>(format<T>::kTanhOne);  // from here on the result rounds to 1
  const V twice = at_most(from_bits<V>(bits(x) ^ sign) * constant<V>(2), one);
  V shifted;
  const V p = expm1_reduced(twice, shifted);
  const V scale = power_of_two<V>(exponent_of(shifted));
  const V e = fma(scale, p, scale - constant<V>(1));
  return from_bits<V>(bits(e / (e + constant<V>(2))) | sign);
}

// For x and y that were floats, so that double has no denormals and no overflow here: exp2(y log2
// |x|) by shorter polynomials than those above, with relative errors below 2^-34.
template <class V>
NEEDLE_INLINE V pow_of_floats(V x, V y) {
  static constexpr double log2_odd[] = {2.8853900817902025532, 0.96179667320018034462,
                                        0.57708361157079185176, 0.41167113461150252381,
                                        0.34075936184665451361};  // in s, as in log
  static constexpr double exp2_slope[] = {0.69314718070688206476,   0.24022651071002350679,
                                          0.055504103599206279659,  0.0096180374061346583698,
                                          0.001333393810918031065,  0.00015467008488982855613,
                                          1.5195923015072859509e-05};
  const V zero = constant<V>(0), one = constant<V>(1), infinity = constant<V>(__builtin_inf());
  const V round = constant<V>(format<double>::kRound);
  const auto negative = bits(x) < 0;
  const V magnitude = from_bits<V>(bits(x) & ~bits(-0.0));
  const V size = from_bits<V>(bits(y) & ~bits(-0.0));

  V k;
  const V f = split(magnitude, k);
  const V s = f / (f + constant<V>(2));
  V exponent = fma(s, polynomial(s * s, log2_odd), k);
  exponent = magnitude < infinity ? exponent : magnitude;
  exponent = y * (magnitude == zero ? -infinity : exponent);
  const V most = constant<V>(200);  // beyond, a float is infinite or zero
  exponent = exponent > most ? most : exponent;
  exponent = exponent < -most ? -most : exponent;
  const V shifted = exponent + round;
  const V r = exponent - (shifted - round);
  V power = fma(r, polynomial(r, exp2_slope), one) *
            power_of_two<V>(bits(shifted) - bits(format<double>::kRound));

  // x < 0 has a power for whole y only, negative for odd ones; floats from 2^24 on are even.
  const V whole = size + round;
  const auto integral = (whole - round == size) | (size >= constant<V>(0x1p50));
  const auto odd = ((bits(whole) & 1) != 0) & integral & (size < constant<V>(0x1p50));
  power = negative & odd ? -power : power;
  const auto outside = (x < zero) & (magnitude < infinity) & (integral == 0);
  power = outside ? constant<V>(__builtin_nan("")) : power;
  const auto unity = (y == zero) | (x == one) | ((magnitude == one) & (size == infinity));
  return unity ? one : power;
}

NEEDLE_INLINE float pow(float a, float b) {
  return static_cast<float>(pow_of_floats(static_cast<double>(a), static_cast<double>(b)));
}
NEEDLE_INLINE double pow(double a, double b) { return __builtin_pow(a, b); }
NEEDLE_INLINE f32v pow(f32v a, f32v b) {
  return narrow(pow_of_floats(widen_low(a), widen_low(b)),
                pow_of_floats(widen_high(a), widen_high(b)));
}
NEEDLE_INLINE f64v pow(f64v a, f64v b) {
  f64v r;
  for (int i = 0; i < lanes<double>; ++i) r[i] = __builtin_pow(a[i], b[i]);
  return r;
}

}  // namespace NEEDLE_NS::m

#include "math_special.h"
// The op table over these functions.
#include "../core/functors.h"
