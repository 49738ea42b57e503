// Data types: one enum, their sizes and names, and conversions between element values.
// Kernel files include this header, so everything here has internal linkage (see view.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define NEEDLE_HD __host__ __device__
#else
#define NEEDLE_HD
#endif
// For members of classes: an inlined function leaves no symbol that could serve another instruction
// set (see view.h).
#define NEEDLE_ALWAYS_INLINE inline __attribute__((always_inline))

namespace needle {

enum class DType : std::uint8_t { float32, float64, int32, int64, boolean, float16, bfloat16 };
constexpr int kDTypeCount = 7;

// 16-bit floats: held and cast everywhere; where a device computes in them, it does so in float32
// and rounds each result once.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

static inline constexpr std::size_t itemsize(DType t) {
  constexpr std::size_t sizes[kDTypeCount] = {4, 8, 4, 8, 1, 2, 2};
  return sizes[static_cast<int>(t)];
}

static inline constexpr const char* name(DType t) {
  constexpr const char* names[kDTypeCount] = {"float32", "float64", "int32",   "int64",
                                              "bool",    "float16", "bfloat16"};
  return names[static_cast<int>(t)];
}

static inline constexpr bool is_floating(DType t) {
  return t == DType::float32 || t == DType::float64 || t == DType::float16 || t == DType::bfloat16;
}

// The dtypes that kernels compute in on every device; a device may add the others of
// is_floating (Backend::computes).
static inline constexpr bool is_computed(DType t) {
  return t == DType::float32 || t == DType::float64;
}

// Calls f with a value of the C++ type of t: visit_dtype(t, [&](auto zero) { using T =
// decltype(zero); ... }).
template <class F>
static inline void visit_dtype(DType t, F&& f) {
  switch (t) {
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::boolean:
      return f(bool{});
    case DType::float16:
      return f(Half{});
    case DType::bfloat16:
      return f(BFloat16{});
  }
}

// The same for the dtypes that kernels compute in; the core has rejected every other before.
template <class F>
static inline void visit_computed(DType t, F&& f) {
  if (t == DType::float64) return f(double{});
  f(float{});
}

// The same on a device that computes in every floating dtype.
template <class F>
static inline void visit_floating(DType t, F&& f) {
  if (t == DType::float16) return f(Half{});
  if (t == DType::bfloat16) return f(BFloat16{});
  visit_computed(t, f);
}

static inline NEEDLE_HD std::uint32_t float_bits(float v) {
  std::uint32_t u;
  memcpy(&u, &v, sizeof u);
  return u;
}

static inline NEEDLE_HD float bits_float(std::uint32_t u) {
  float v;
  memcpy(&v, &u, sizeof v);
  return v;
}

// IEEE binary16 to binary32, exact; denormals, infinities and NaN included.
static inline NEEDLE_HD float half_to_float(Half h) {
  const std::uint32_t sign = (h.bits & 0x8000u) << 16;
  const std::uint32_t exponent = (h.bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = h.bits & 0x3ffu;
  if (exponent == 31) return bits_float(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * bits_float(0x33800000u);  // 2^-24
    return bits_float(sign | float_bits(magnitude));
  }
  return bits_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// To odd when inexact: a following rounding to fewer bits is then the rounding of the exact value.
static inline NEEDLE_HD float double_to_float_odd(double v) {
  const float f = static_cast<float>(v);
  if (static_cast<double>(f) == v || v != v) return f;
  std::uint32_t u = float_bits(f);
  const bool rounded_away = (v > 0) ? static_cast<double>(f) > v : static_cast<double>(f) < v;
  if (rounded_away) u -= 1;
  return bits_float(u | 1u);
}

// binary32 to binary16, round to nearest even.
static inline NEEDLE_HD Half float_to_half(float v) {
  const std::uint32_t u = float_bits(v);
  const std::uint32_t sign = (u >> 16) & 0x8000u;
  const std::uint32_t magnitude = u & 0x7fffffffu;
  std::uint32_t out;
  if (magnitude > 0x7f800000u) {
    out = 0x7e00u | ((magnitude >> 13) & 0x3ffu);  // quiet NaN, payload kept
  } else if (magnitude >= 0x477ff000u) {
    out = 0x7c00u;  // rounds to 65536 or more: infinity
  } else if (magnitude < 0x38800000u) {
    // Denormal result: let the float unit round at the last denormal bit (adding 0.5 aligns it).
    out = float_bits(bits_float(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    out = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return Half{static_cast<std::uint16_t>(sign | out)};
}

static inline NEEDLE_HD float bfloat16_to_float(BFloat16 b) {
  return bits_float(static_cast<std::uint32_t>(b.bits) << 16);
}

// binary32 to bfloat16, round to nearest even.
static inline NEEDLE_HD BFloat16 float_to_bfloat16(float v) {
  const std::uint32_t u = float_bits(v);
  if (v != v) return BFloat16{static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return BFloat16{static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

// One element converted as numpy's astype does: nearest even for floats, truncation to integers, !=
// 0 to bool.
template <class To>
struct Convert {
  template <class From>
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD To from(From v) {
    return static_cast<To>(v);
  }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD To from(Half v) {
    return static_cast<To>(half_to_float(v));
  }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD To from(BFloat16 v) {
    return static_cast<To>(bfloat16_to_float(v));
  }
};

template <>
struct Convert<bool> {
  template <class From>
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD bool from(From v) {
    return v != From(0);
  }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD bool from(Half v) { return (v.bits & 0x7fffu) != 0; }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD bool from(BFloat16 v) { return (v.bits & 0x7fffu) != 0; }
};

template <>
struct Convert<Half> {
  template <class From>
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD Half from(From v) {
    return float_to_half(double_to_float_odd(static_cast<double>(v)));
  }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD Half from(float v) { return float_to_half(v); }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD Half from(Half v) { return v; }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD Half from(BFloat16 v) {
    return float_to_half(bfloat16_to_float(v));
  }
};

template <>
struct Convert<BFloat16> {
  template <class From>
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD BFloat16 from(From v) {
    return float_to_bfloat16(double_to_float_odd(static_cast<double>(v)));
  }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD BFloat16 from(float v) { return float_to_bfloat16(v); }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD BFloat16 from(Half v) {
    return float_to_bfloat16(half_to_float(v));
  }
  static NEEDLE_ALWAYS_INLINE NEEDLE_HD BFloat16 from(BFloat16 v) { return v; }
};

}  // namespace needle
