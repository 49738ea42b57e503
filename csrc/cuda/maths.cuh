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

// Sums and products that nvcc does not fuse with what they go into.
#if defined(__CUDA_ARCH__)
static inline __device__ float plus(float a, float b) { return __fadd_rn(a, b); }
static inline __device__ double plus(double a, double b) { return __dadd_rn(a, b); }
static inline __device__ float times(float a, float b) { return __fmul_rn(a, b); }
static inline __device__ double times(double a, double b) { return __dmul_rn(a, b); }
#else
template <class V>
static inline NEEDLE_HD V plus(V a, V b) {
  return a + b;
}
template <class V>
static inline NEEDLE_HD V times(V a, V b) {
  return a * b;
}
#endif

// a + b rounded, and what the rounding lost.
template <class V>
static inline NEEDLE_HD V two_sum(V a, V b, V& low) {
  const V sum = plus(a, b), part = plus(sum, -a);
  low = plus(plus(a, -plus(sum, -part)), plus(b, -part));
  return sum;
}

// a * b rounded, and what the rounding lost.
template <class V>
static inline NEEDLE_HD V two_product(V a, V b, V& low) {
  const V product = times(a, b);
  low = fma(a, b, -product);
  return product;
}

}  // namespace NEEDLE_NS::m

#include "../core/formulas.h"
#include "../core/functors.h"
