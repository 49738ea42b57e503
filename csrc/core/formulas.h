// The longer formulas of the op table, written once for scalars and vectors V as those of ops.def
// are. The including file has defined, in the same namespace or around it, for every V: constant,
// single, fma, abs, exp, log1p, at_most and at_least (a bound for all but NaN), two_sum and
// two_product (a rounded sum or product, and its rounding error).
//
//   - scaled_erfc: e^(t^2) erfc(t) for t >= 0, as P((t - c) / (t + c)) / (1 + 2 t); P is a minimax
//     polynomial (Remez exchange in 70 digits) with a relative error below 2^-28 for float and
//     2^-58 for double as far as e^(-t^2) is not 0; inner_erf: x + x P(x^2), alike
//   - silu, gelu: x F(x) with F(-x) = 1 - F(x) is max(x, 0) - |x| F(-|x|), where nothing cancels
//     and F(-|x|) has no argument that overflows
//   - slopes s of sigmoid, silu and gelu, with e = e^-|x|: s(x) is 1 - s(-x) but for sigmoid's, so
//   that
//     only the tail is computed, where nothing cancels and what is infinite is bounded
//   - exponents larger than 1 are computed with their rounding errors, which exp would magnify
#pragma once

#include "dtype.h"

namespace NEEDLE_NS::m {

#define NEEDLE_FORMULA \
  template <class V>   \
  static NEEDLE_HD NEEDLE_ALWAYS_INLINE

// c[0] + c[1] x + c[2] x^2 ...
NEEDLE_FORMULA V horner(V, double c) { return constant<V>(c); }
template <class V, class... C>
static NEEDLE_HD NEEDLE_ALWAYS_INLINE V horner(V x, double c, C... higher) {
  return fma(horner(x, higher...), x, constant<V>(c));
}

NEEDLE_FORMULA V scaled_erfc(V t) {
  const V center = constant<V>(single<V> ? 3 : 4);
  const V q = (t - center) / (t + center);
  V p;
  if constexpr (single<V>) {
    p = horner(q, 1.25300805898, -0.135621112459, -0.0475623874269, 0.129645402169, -0.11927157317,
               0.0683061259992, -0.0237878996742, 0.00252887107602, 0.00194997590624,
               -0.000740183943787, -0.000181245142456, 3.58272678864e-5);
  } else {
    p = horner(q, 1.23299511862555251, -0.13962111684056253587, 0.015379652102619648894,
               0.068097054254695411585, -0.10103906603629930548, 0.093732834998252138102,
               -0.066330365812324690841, 0.037167515539065071566, -0.016197734056596346104,
               0.005031969963886748795, -0.00075777329693481774065, -0.0001992566188541634461,
               0.00015062171610060054621, -0.000024399469517288326981, -0.000011222173243600850732,
               5.7102652531456111373e-6, 2.941716981778930048e-7, -8.260674994713822811e-7,
               7.4052131028896251375e-8, 1.1040867037976175789e-7, -1.7400093119865508387e-8,
               -1.4084487410927994257e-8, 1.6452211881690701297e-9, 1.1889292492624856183e-9);
  }
  return p / fma(t, constant<V>(2), constant<V>(1));
}

// erf(x) for |x| < 1.
NEEDLE_FORMULA V inner_erf(V x) {
  const V z = x * x;
  V p;
  if constexpr (single<V>) {
    p = horner(z, 0.128379165727, -0.376126258234, 0.112835851415, -0.0268538117585,
               0.00518832754362, -0.000801019377672, 7.8538656316e-5);
  } else {
    p = horner(z, 0.12837916709551257375, -0.37612638903183747605, 0.11283791670954857508,
               -0.026866170645072897952, 0.0052239776247808967645, -0.00085483269787438870049,
               0.00012055331036958145878, -0.000014925593508217900552, 1.6460972837070265609e-6,
               -1.6350025422970081425e-7, 1.465788111744461719e-8, -1.1365670651581247512e-9,
               5.94526933863672637e-11);
  }
  return fma(x, p, x);
}

// e^(-(high + low)) for a small low.
NEEDLE_FORMULA V decay(V high, V low) {
  const V e = exp(-high);
  return fma(e, -low, e);
}

// |x|, at most 1000: every F(-|x|) below is 0 before.
NEEDLE_FORMULA V bounded_size(V x) { return at_most(abs(x), constant<V>(1000)); }

// x where it is positive, a zero of its sign elsewhere; NaN stays.
NEEDLE_FORMULA V positive_part(V x) { return at_least(x, constant<V>(-0.0)); }

NEEDLE_FORMULA V sigmoid(V x) {
  const V one = constant<V>(1), e = exp(-abs(x));
  return (x < constant<V>(0) ? e : one) / (one + e);
}

NEEDLE_FORMULA V softplus(V x) { return positive_part(x) + log1p(exp(-abs(x))); }

// x / (1 + e^-x); the exponential is the square of a root that does not underflow.
NEEDLE_FORMULA V silu(V x) {
  const V size = bounded_size(x);
  const V root = exp(size * constant<V>(-0.5));
  return positive_part(x) - (size * root) * (root / fma(root, root, constant<V>(1)));
}

// x Phi(x), Phi the distribution function of the standard normal: Phi(-t) = erfc(t / sqrt(2)) / 2.
NEEDLE_FORMULA V gelu(V x) {
  const V size = bounded_size(x), half = size * constant<V>(0.5);
  V low;
  const V exponent = two_product(size, half, low);
  const V t = size * constant<V>(0x1.6a09e667f3bcdp-1);
  const V inner = half * (constant<V>(1) - inner_erf(t));
  const V outer = half * scaled_erfc(t) * decay(exponent, low);
  return positive_part(x) - (t < constant<V>(0.5) ? inner : outer);
}

// Of tanh, from its result.
NEEDLE_FORMULA V tanh_slope(V y) { return fma(-y, y, constant<V>(1)); }

// sigmoid(x) sigmoid(-x)
NEEDLE_FORMULA V sigmoid_slope(V x) {
  const V e = exp(-abs(x)), share = constant<V>(1) / (constant<V>(1) + e);
  return e * share * share;
}

// s(-w) (1 - w slope s(w)) for the sigmoid s, root = e^(-w / 2) and `rise` = w times the slope of
// w.
NEEDLE_FORMULA V gated_tail(V root, V rise) {
  const V share = constant<V>(1) / fma(root, root, constant<V>(1));
  return (root * share) * (root * (constant<V>(1) - rise * share));
}

NEEDLE_FORMULA V silu_slope(V x) {
  const V size = bounded_size(x);
  const V tail = gated_tail(exp(size * constant<V>(-0.5)), size);
  return x < constant<V>(0) ? tail : constant<V>(1) - tail;
}

// Phi(x) + x phi(x), phi the density: with t = |x|, e^(-t^2 / 2) is a factor of both.
NEEDLE_FORMULA V gelu_slope(V x) {
  const V size = bounded_size(x), half = constant<V>(0.5);
  V low;
  const V exponent = two_product(size, size * half, low);
  const V ratio = half * scaled_erfc(size * constant<V>(0x1.6a09e667f3bcdp-1));
  const V density = size * constant<V>(0x1.9884533d43651p-2);  // 1 / sqrt(2 pi)
  const V tail = decay(exponent, low) * (ratio - density);
  return x < constant<V>(0) ? tail : constant<V>(1) - tail;
}

// x (1 + tanh(w / 2)) / 2 = x sigmoid(w) with w = 2 sqrt(2 / pi) (x + 0.044715 x^3).
NEEDLE_FORMULA V gelu_tanh(V x) {
  const V a = constant<V>(single<V> ? 0x1.988452p+0 : 0x1.9884533d4365p+0);  // 2 sqrt(2 / pi)
  const V a_low = constant<V>(single<V> ? 0x1.3d4364p-24 : 0x1.1a1f9678a0175p-53);
  const V b = constant<V>(single<V> ? 0x1.2444f2p-4 : 0x1.2444f2a4d8b4ap-4);  // 0.044715 times it
  const V b_low = constant<V>(single<V> ? 0x1.49b168p-29 : 0x1.e937bc5d62e38p-57);
  const V size = bounded_size(x);
  V square_low, cubic_low, slope_low, low;
  const V square = two_product(size, size, square_low);
  const V cubic = two_product(b, square, cubic_low);
  const V slope = two_sum(a, cubic, slope_low);
  slope_low = slope_low + (a_low + cubic_low + fma(b, square_low, b_low * square));
  const V w = two_product(size, slope, low);
  low = fma(size, slope_low, low);
  const V half = constant<V>(0.5), root = decay(w * half, low * half);
  return positive_part(x) - (size * root) * (root / fma(root, root, constant<V>(1)));
}

#undef NEEDLE_FORMULA

}  // namespace NEEDLE_NS::m
