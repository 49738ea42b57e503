// How elements are stored and what they are computed in: float16 and bfloat16 in float, a result
// rounded once. The bits of NaN results are the hardware's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../core/dtype.h"

namespace NEEDLE_NS {

template <class T>
constexpr bool is_half = std::is_same_v<T, needle::Half> || std::is_same_v<T, needle::BFloat16>;

template <class T>
using Compute = std::conditional_t<is_half<T>, float, T>;

template <class T>
NEEDLE_HD T widen(T v) {
  return v;
}
inline NEEDLE_HD float widen(needle::BFloat16 v) { return needle::bfloat16_to_float(v); }
inline NEEDLE_HD float widen(needle::Half v) {
#if defined(__CUDA_ARCH__)
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(v.bits));
  return wide;
#else
  return needle::half_to_float(v);
#endif
}

// To nearest even.
template <class T>
NEEDLE_HD T narrow(Compute<T> v) {
  if constexpr (std::is_same_v<T, needle::BFloat16>) {
    return needle::float_to_bfloat16(v);
  } else if constexpr (std::is_same_v<T, needle::Half>) {
#if defined(__CUDA_ARCH__)
    needle::Half rounded;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(v));
    return rounded;
#else
    return needle::float_to_half(v);
#endif
  } else {
    return v;
  }
}

// Calls f with a word of a dtype's size: what moves bits needs no more kernels.
template <class F>
void visit_words(std::size_t itemsize, F&& f) {
  switch (itemsize) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::uint16_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

}  // namespace NEEDLE_NS
