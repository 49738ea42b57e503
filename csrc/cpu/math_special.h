// The second half of math.h: functions of the op table that need more than a polynomial.
//
//   - expm1: as tanh's: 2^k (e^r - 1) + (2^k - 1)
//   - log1p: log(u) + c / u with u + c = 1 + x exactly
//   - sin, cos: r + low = x - n pi/2 in three parts of pi/2, the first two exact times n; of floats
//     in double. Lanes where |x| is large or r nearly vanishes are the C library's
//   - erfc: scaled_erfc (core/formulas.h) times e^(-x^2) with the rounding error of the square;
//   near
//     0, 1 - erf
//   - erf: inner_erf for |x| < 1, beyond 1 - erfc
#pragma once

#include "math.h"

namespace NEEDLE_NS::m {

template <class V>
constexpr bool single = sizeof(scalar_of<V>) == 4;

template <class V>
NEEDLE_INLINE V abs(V x) {
  return from_bits<V>(bits(x) & ~bits(scalar_of<V>(-0.0)));
}

// a + b rounded, and what the rounding lost.
template <class V>
NEEDLE_INLINE V two_sum(V a, V b, V& low) {
  const V sum = a + b, part = sum - a;
  low = (a - (sum - part)) + (b - part);
  return sum;
}

// a * b rounded, and what the rounding lost.
template <class V>
NEEDLE_INLINE V two_product(V a, V b, V& low) {
  const V product = a * b;
#if defined(__FMA__) || defined(__FP_FAST_FMA)
  low = fma(a, b, -product);
#else  // halves, whose products are exact
  using T = scalar_of<V>;
  constexpr auto upper = ~((int_of<T>(1) << (format<T>::kMantissa / 2 + 1)) - 1);
  const V a_high = from_bits<V>(bits(a) & upper), b_high = from_bits<V>(bits(b) & upper);
  const V a_low = a - a_high, b_low = b - b_high;
  low = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
#endif
  return product;
}

NEEDLE_INLINE f32v sqrt(f32v x) { return NEEDLE_NS::sqrt(x); }
NEEDLE_INLINE f64v sqrt(f64v x) { return NEEDLE_NS::sqrt(x); }

template <class V>
NEEDLE_INLINE V expm1(V x) {
  using F = format<scalar_of<V>>;
  const int_of<V> sign = bits(x) & bits(scalar_of<V>(-0.0));
  V shifted;
  const V p = expm1_reduced(within(x, -F::kTanhOne, F::kExpHigh), shifted);  // -1 below
  const int_of<V> k = exponent_of(shifted);
  const int_of<V> last = k > 1 ? (k & 0) + 1 : k & 0;  // k reaches an exponent that has no number
  const V scale = power_of_two<V>(k - last), undo = power_of_two<V>(last);
  const V y = fma(scale, p, scale - constant<V>(1) / undo) * undo;
  return from_bits<V>(bits(y) | sign);
}

template <class V>
NEEDLE_INLINE V log1p(V x) {
  const V one = constant<V>(1), infinity = constant<V>(__builtin_inf());
  V c;
  const V u = two_sum(one, x, c);
  const V y = log(u) + c / (u == constant<V>(0) ? one : u);
  return (u == one) | (x == infinity) ? x : y;
}

}  // namespace NEEDLE_NS::m

#include "../core/formulas.h"

namespace NEEDLE_NS::m {

// --- sin and cos

// sin(x) for turns = 0, cos(x) = sin(x + pi/2) for turns = 1.
NEEDLE_INLINE f64v sine(f64v x, std::int64_t turns) {
  constexpr double first = 0x1.921fb544p+0, second = 0x1.0b4611a6p-34,  // 33 bits each
      third = 0x1.3198a2e037073p-69;
  const f64v round = constant<f64v>(format<double>::kRound), one = constant<f64v>(1);
  const f64v shifted = fma(x, constant<f64v>(0x1.45f306dc9c883p-1), round);
  const f64v n = shifted - round;
  f64v low;
  const f64v near = two_sum(x - n * first, -(n * second), low);
  low = low - n * third;
  const f64v r = near + low;
  low = low - (r - near);
  const f64v z = r * r;
  const f64v odd =
      horner(z, -0.16666666666666630694, 0.0083333333333221092762, -0.00019841269829581650929,
             2.7557313618502547372e-6, -2.5050747288891694572e-8, 1.589620141601042353e-10);
  const f64v even =
      horner(z, 0.041666666666666599475, -0.001388888888887412378, 0.000024801587289482035439,
             -2.7557314352277082911e-7, 2.087572326440705543e-9, -1.1359647299908761531e-11);
  const f64v half = constant<f64v>(0.5) * z, rest = one - half;
  const f64v of_sine = r + fma(r * z, odd, low * rest);
  const f64v of_cosine = rest + (((one - rest) - half) + fma(z * z, even, -(r * low)));
  const i64v quadrant = bits(shifted) + turns;
  f64v y = (quadrant & 1) != 0 ? of_cosine : of_sine;
  y = from_bits<f64v>(bits(y) ^ ((quadrant & 2) << 62));
  if (turns == 0) y = x == constant<f64v>(0) ? x : y;
  const i64v hard = ~(abs(x) <= constant<f64v>(0x1p20)) |
                    ((abs(r) < constant<f64v>(0x1p-40)) & (n != constant<f64v>(0)));
  if (any(hard)) {
    for (int i = 0; i < lanes<double>; ++i) {
      if (hard[i]) y[i] = turns == 0 ? __builtin_sin(x[i]) : __builtin_cos(x[i]);
    }
  }
  return y;
}

// The same of x that were floats: none is so near to a multiple of pi/2 that r loses what a float
// has, and the polynomials are shorter, with relative errors below 2^-35.
NEEDLE_INLINE f64v sine_of_floats(f64v x, std::int64_t turns) {
  constexpr double first = 0x1.921fb544p+0, second = 0x1.0b4611a6p-34,
                   third = 0x1.3198a2e037073p-69;
  const f64v round = constant<f64v>(format<double>::kRound), one = constant<f64v>(1);
  const f64v shifted = fma(x, constant<f64v>(0x1.45f306dc9c883p-1), round);
  const f64v n = shifted - round;
  const f64v r = ((x - n * first) - n * second) - n * third;
  const f64v z = r * r;
  const f64v odd = horner(z, -0.16666666663854167, 0.0083333318742737137, -0.00019840086499593593,
                          2.7249895230611181e-6);
  const f64v even = horner(z, 0.041666666664320266, -0.0013888887671652366, 2.4800600180319069e-5,
                           -2.7300933683069313e-7);
  const f64v of_sine = fma(r * z, odd, r);
  const f64v of_cosine = fma(z * z, even, fma(z, constant<f64v>(-0.5), one));
  const i64v quadrant = bits(shifted) + turns;
  f64v y = (quadrant & 1) != 0 ? of_cosine : of_sine;
  y = from_bits<f64v>(bits(y) ^ ((quadrant & 2) << 62));
  if (turns == 0) y = x == constant<f64v>(0) ? x : y;
  const i64v hard = ~(abs(x) <= constant<f64v>(0x1p20));
  if (any(hard)) {
    for (int i = 0; i < lanes<double>; ++i) {
      if (hard[i]) y[i] = turns == 0 ? __builtin_sin(x[i]) : __builtin_cos(x[i]);
    }
  }
  return y;
}

NEEDLE_INLINE f64v sin(f64v x) { return sine(x, 0); }
NEEDLE_INLINE f64v cos(f64v x) { return sine(x, 1); }
NEEDLE_INLINE f32v sin(f32v x) {
  return narrow(sine_of_floats(widen_low(x), 0), sine_of_floats(widen_high(x), 0));
}
NEEDLE_INLINE f32v cos(f32v x) {
  return narrow(sine_of_floats(widen_low(x), 1), sine_of_floats(widen_high(x), 1));
}

// --- the error function

// erfc(|x|)
template <class V>
NEEDLE_INLINE V upper_erfc(V x) {
  const V size = bounded_size(x);
  V low;
  const V square = two_product(size, size, low);
  const V outer = scaled_erfc(size) * decay(square, low);
  return size < constant<V>(0.5) ? constant<V>(1) - inner_erf(size) : outer;
}

template <class V>
NEEDLE_INLINE V erfc(V x) {
  const V upper = upper_erfc(x);
  return x < constant<V>(0) ? constant<V>(2) - upper : upper;
}

template <class V>
NEEDLE_INLINE V erf(V x) {
  const int_of<V> sign = bits(x) & bits(scalar_of<V>(-0.0));
  const V outer = constant<V>(1) - upper_erfc(x);
  return abs(x) < constant<V>(1) ? inner_erf(x) : from_bits<V>(bits(outer) | sign);
}

}  // namespace NEEDLE_NS::m
