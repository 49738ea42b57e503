// m: the maths of the op table (core/functors.h) for V = float, double and the vectors of both. One formula serves
// scalars and vectors, so an element's value does not depend on the loop that computes it. Errors in units of the last
// place are listed by tests/native/elementwise_test; NaN, infinities, denormals and signed zeros follow IEEE 754.
//
// exp    x = k ln2 + r, |r| <= ln2 / 2; e^r = 1 + r + r^2 q(r), scaled by 2^k in two steps (denormal results round once)
// log    x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); s = f / (2 + f); log(1 + f) = 2 s + s^3 R(s^2)
// tanh   e / (e + 2) with e = expm1(2 |x|), the sign put back
// pow    float: exp(y log |x|) in double; double: the C library's, lane by lane
//
// q and R are minimax polynomials (Remez exchange in 60 digits), relative error below 2^-30 (float), 2^-59 (double).
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
  static constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
  static constexpr float kMinNormal = 0x1p-126f, kRescue = 0x1p24f;
  static constexpr int kRescueBits = 24;
  static constexpr float kLn2High = 0x1.62ep-1f;  // 12 bits: exact times any exponent
  static constexpr float kExpLow = -105.0f, kExpHigh = 89.0f, kTanhOne = 20.0f;
  static constexpr float kSqrtHalf = 0x1.6a09e6p-1f;
  static constexpr float kExp[] = {0.50000000684270176f,   0.16666665859339087f,   0.04166629218193933f,
                                   0.008333498405287958f,  0.0013944868296634214f, 0.00019790110825517342f};
  static constexpr float kLog[] = {0.66666776711489613f, 0.39977496183317220f, 0.29873059679922563f};
};
template <>
struct format<double> {
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kMinNormal = 0x1p-1022, kRescue = 0x1p54;
  static constexpr int kRescueBits = 54;
  static constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits
  static constexpr double kExpLow = -747.0, kExpHigh = 710.0, kTanhOne = 44.0;
  static constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
  static constexpr double kExp[] = {
      0.50000000000000000449,    0.16666666666666683738,    0.041666666666666083274,   0.0083333333333167866884,
      0.0013888888889119128175,  0.00019841269897011248216, 2.4801586922267100733e-05, 2.7557234222213091046e-06,
      2.7557583914930275638e-07, 2.5112263857976277751e-08, 2.0826415825438254825e-09};
  static constexpr double kLog[] = {0.6666666666666734891,  0.39999999999411113539, 0.28571428743259299371,
                                    0.22222198476224612737, 0.18183569732552245155, 0.15313903309495016663,
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

// x = k ln2 + r; returns e^r - 1.
template <class V>
NEEDLE_INLINE V expm1_reduced(V x, int_of<V>& k) {
  using T = scalar_of<V>;
  using F = format<T>;
  const V shifted = fma(x, constant<V>(1 / static_cast<double>(kLn2)), broadcast<V>(F::kRound));
  const V n = shifted - broadcast<V>(F::kRound);
  k = bits(shifted) - bits(F::kRound);
  const V r = fma(n, broadcast<V>(-ln2_low<T>), fma(n, broadcast<V>(-F::kLn2High), x));
  return fma(r * r, polynomial(r, F::kExp), r);
}

template <class V>
NEEDLE_INLINE V exp(V x) {
  using F = format<scalar_of<V>>;
  const V high = broadcast<V>(F::kExpHigh), low = broadcast<V>(F::kExpLow);
  x = x > high ? high : x;
  x = x < low ? low : x;
  int_of<V> k;
  const V e = expm1_reduced(x, k) + constant<V>(1);
  const int_of<V> half = k >> 1;
  return e * power_of_two<V>(half) * power_of_two<V>(k - half);
}

template <class V>
NEEDLE_INLINE V log(V x) {
  using T = scalar_of<V>;
  using F = format<T>;
  const auto tiny = x < broadcast<V>(F::kMinNormal);
  const V scaled = tiny ? x * broadcast<V>(F::kRescue) : x;
  // The exponent relative to sqrt(1/2), biased to stay positive, is put into the mantissa of 2^kMantissa to become a
  // number: no conversion between integers and floats, which AVX2 lacks for 64 bits.
  constexpr auto bias = static_cast<int_of<T>>(F::kBias) << F::kMantissa;
  const int_of<V> exponent = shift_right(bits(scaled) - bits(F::kSqrtHalf) + bias, F::kMantissa);
  const V f = from_bits<V>(bits(scaled) - (exponent << F::kMantissa) + bias) - constant<V>(1);
  constexpr T two_to_mantissa = F::kRound / T(1.5);
  V k = from_bits<V>(exponent | bits(two_to_mantissa)) - broadcast<V>(two_to_mantissa + F::kBias);
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
  V twice = from_bits<V>(bits(x) ^ sign) * constant<V>(2);
  twice = twice > one ? one : twice;
  int_of<V> k;
  const V p = expm1_reduced(twice, k);
  const V scale = power_of_two<V>(k);
  const V e = fma(scale, p, scale - constant<V>(1));
  return from_bits<V>(bits(e / (e + constant<V>(2))) | sign);
}

// For x and y that were floats: the double result carries 20 bits more than they need.
template <class V>
NEEDLE_INLINE V pow_of_floats(V x, V y) {
  const V zero = constant<V>(0), one = constant<V>(1), infinity = constant<V>(__builtin_inf());
  const V magnitude = x < zero ? -x : x;
  const V size = y < zero ? -y : y;
  const V round = broadcast<V>(format<double>::kRound);
  const V shifted = size + round;
  const auto large = size >= constant<V>(0x1p50);  // an even integer, or infinite
  const auto integral = large | (shifted - round == size);
  const V parity = from_bits<V>((bits(shifted) & 1) | bits(1.0)) - one;  // not 0 where the rounded size is odd
  const auto odd = (parity != zero) & integral & (size < constant<V>(0x1p50));
  const auto negative = bits(x) < 0;
  V r = exp(y * log(magnitude));
  r = negative & odd ? -r : r;
  const auto outside = (x < zero) & (magnitude < infinity) & (size < infinity);
  r = outside & (integral == 0) ? constant<V>(__builtin_nan("")) : r;
  const auto unity = (y == zero) | (x == one) | ((magnitude == one) & (size == infinity));
  return unity ? one : r;
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
