// How elements are stored, loaded and computed in: float16 and bfloat16 in float, a result rounded
// once. The bits of NaN results are the hardware's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../core/view.h"

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

// N elements side by side, loaded and stored at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

template <int N, class T>
__device__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}

// Whether packs of n elements along the innermost dimension of a view can be loaded: no gaps, and
// every pack aligned.
inline bool in_packs(const needle::View& v, int n) {
  const auto bytes = static_cast<std::uintptr_t>(n) * needle::itemsize(v.dtype);
  if (reinterpret_cast<std::uintptr_t>(v.data) % bytes != 0) return false;
  for (int d = 0; d < v.ndim - 1; ++d) {
    if (v.strides[d] % n != 0) return false;
  }
  return v.ndim == 0 || v.shape[v.ndim - 1] == 1 || v.strides[v.ndim - 1] == 1;
}

// Compact memory of a view's shape, for numbers in what its dtype is computed in.
inline needle::View computed_like(const needle::View& v, void* data) {
  needle::View compact = v;
  compact.data = data;
  if (v.dtype != needle::DType::float64) compact.dtype = needle::DType::float32;
  std::int64_t stride = 1;
  for (int d = v.ndim - 1; d >= 0; --d) {
    compact.strides[d] = stride;
    stride *= v.shape[d];
  }
  return compact;
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
