// What the op table needs of a device's maths (core/functors.h): CUDA's own functions, never the
// fast approximations.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

#include "../core/dtype.h"

namespace NEEDLE_NS::m {

template <class V>
static NEEDLE_HD V constant(double c) {
  return static_cast<V>(c);
}

static inline NEEDLE_HD float exp(float x) { return ::expf(x); }
static inline NEEDLE_HD double exp(double x) { return ::exp(x); }
static inline NEEDLE_HD float log(float x) { return ::logf(x); }
static inline NEEDLE_HD double log(double x) { return ::log(x); }
static inline NEEDLE_HD float tanh(float x) { return ::tanhf(x); }
static inline NEEDLE_HD double tanh(double x) { return ::tanh(x); }
static inline NEEDLE_HD float pow(float a, float b) { return ::powf(a, b); }
static inline NEEDLE_HD double pow(double a, double b) { return ::pow(a, b); }

}  // namespace NEEDLE_NS::m

#include "../core/functors.h"
