// What the op table needs of a device's maths (core/functors.h, core/formulas.h): CUDA's own
// functions, never the fast approximations.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

#include "../core/dtype.h"

namespace NEEDLE_NS::m {

template <class V>
static NEEDLE_HD V constant(double c) {
  return static_cast<V>(c);
}

template <class V>
constexpr bool single = sizeof(V) == 4;

#define NEEDLE_MATHS(name)                                             \
  static inline NEEDLE_HD float name(float x) { return ::name##f(x); } \
  static inline NEEDLE_HD double name(double x) { return ::name(x); }
NEEDLE_MATHS(sqrt)
NEEDLE_MATHS(exp)
NEEDLE_MATHS(expm1)
NEEDLE_MATHS(log)
NEEDLE_MATHS(log1p)
NEEDLE_MATHS(sin)
NEEDLE_MATHS(cos)
NEEDLE_MATHS(tanh)
NEEDLE_MATHS(erf)
NEEDLE_MATHS(erfc)
#undef NEEDLE_MATHS

static inline NEEDLE_HD float abs(float x) { return ::fabsf(x); }
static inline NEEDLE_HD double abs(double x) { return ::fabs(x); }
static inline NEEDLE_HD float pow(float a, float b) { return ::powf(a, b); }
static inline NEEDLE_HD double pow(double a, double b) { return ::pow(a, b); }
static inline NEEDLE_HD float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
static inline NEEDLE_HD double fma(double a, double b, double c) { return ::fma(a, b, c); }

// a * b + c where nothing depends on its rounding: fused on devices, in the simulator what is fast.
template <class V>
static inline NEEDLE_HD V fused(V a, V b, V c) {
#if defined(__CUDA_ARCH__)
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

// The smaller or larger of x and a bound; NaN stays.
template <class V>
static inline NEEDLE_HD V at_most(V x, V most) {
  return x > most ? most : x;
}
template <class V>
static inline NEEDLE_HD V at_least(V x, V least) {
  return x < least ? least : x;
}

// a + b rounded, and what the rounding lost.
template <class V>
static inline NEEDLE_HD V two_sum(V a, V b, V& low) {
  const V sum = a + b, part = sum - a;
  low = (a - (sum - part)) + (b - part);
  return sum;
}

// a * b rounded, and what the rounding lost.
template <class V>
static inline NEEDLE_HD V two_product(V a, V b, V& low) {
  const V product = a * b;
  low = fma(a, b, -product);
  return product;
}

}  // namespace NEEDLE_NS::m

#include "../core/formulas.h"
#include "../core/functors.h"
