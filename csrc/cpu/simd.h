// simd: the vector types of one instruction set in GCC vector extensions, and the few operations
// that need more.
//
//   - vec<T>: 64 (AVX-512), 32 (AVX) or 16 bytes of float or double; + - * / and comparisons work
//     lane by lane, and `mask ? p : q` selects
//   - lanes<T>: how many T it holds
//   - ivec<T>: signed integers as wide as T, as many: what comparisons give and bits() shows
//
// Everything is static in NEEDLE_NS: no instruction set's code can be linked in place of another's
// (core/view.h). Kernel files are compiled with -ffp-contract=off: a multiply-add is fused where
// fma() says so and nowhere else, so an element's value does not depend on the loop that it was
// computed in.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace NEEDLE_NS {

#define NEEDLE_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

typedef float f32v __attribute__((vector_size(kVectorBytes)));
typedef double f64v __attribute__((vector_size(kVectorBytes)));
typedef std::int32_t i32v __attribute__((vector_size(kVectorBytes)));
typedef std::int64_t i64v __attribute__((vector_size(kVectorBytes)));
typedef std::uint32_t u32v __attribute__((vector_size(kVectorBytes)));
typedef std::uint64_t u64v __attribute__((vector_size(kVectorBytes)));

// scalar_t: a lane; int_t, uint_t: integers of the same shape. Scalars count as vectors of one
// lane.
template <class V>
struct shape_of;
template <>
struct shape_of<float> {
  using scalar_t = float;
  using int_t = std::int32_t;
  using uint_t = std::uint32_t;
  using vec_t = f32v;
};
template <>
struct shape_of<double> {
  using scalar_t = double;
  using int_t = std::int64_t;
  using uint_t = std::uint64_t;
  using vec_t = f64v;
};
template <>
struct shape_of<f32v> {
  using scalar_t = float;
  using int_t = i32v;
  using uint_t = u32v;
};
template <>
struct shape_of<f64v> {
  using scalar_t = double;
  using int_t = i64v;
  using uint_t = u64v;
};

template <class T>
using vec = typename shape_of<T>::vec_t;
template <class T>
using ivec = typename shape_of<vec<T>>::int_t;
template <class V>
using scalar_of = typename shape_of<V>::scalar_t;
template <class V>
using int_of = typename shape_of<V>::int_t;
template <class V>
using uint_of = typename shape_of<V>::uint_t;
template <class T>
static constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(T));

// --- memory: no alignment is assumed except by stream
template <class T>
NEEDLE_INLINE vec<T> load(const T* p) {
  vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
NEEDLE_INLINE void store(T* p, vec<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// The first n lanes, 0 <= n <= lanes<T>; lanes beyond are 0 and their memory is not touched.
NEEDLE_INLINE f32v load_partial(const float* p, std::int64_t n);
NEEDLE_INLINE f64v load_partial(const double* p, std::int64_t n);
NEEDLE_INLINE void store_partial(float* p, f32v v, std::int64_t n);
NEEDLE_INLINE void store_partial(double* p, f64v v, std::int64_t n);

// Past the caches, for outputs too large to stay there; p is aligned to kVectorBytes.
// stream_fence() after the last.
NEEDLE_INLINE void stream(float* p, f32v v);
NEEDLE_INLINE void stream(double* p, f64v v);
NEEDLE_INLINE void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// --- lanes
// Every lane c. Subtracting zero keeps the sign of -0.
template <class V>
NEEDLE_INLINE V broadcast(scalar_of<V> c) {
  return c - V{};
}

// a * b + c, rounded once where the processor fuses.
NEEDLE_INLINE f32v fma(f32v a, f32v b, f32v c);
NEEDLE_INLINE f64v fma(f64v a, f64v b, f64v c);
NEEDLE_INLINE float fma(float a, float b, float c);
NEEDLE_INLINE double fma(double a, double b, double c);

// The square roots, correctly rounded.
NEEDLE_INLINE f32v sqrt(f32v a);
NEEDLE_INLINE f64v sqrt(f64v a);

// The smaller or larger of x and a bound; NaN stays. Not by a template for the vectors of AVX-512,
// whose comparisons go through masks.
template <class V>
NEEDLE_INLINE V at_most(V x, V most) {
  return x > most ? most : x;
}
template <class V>
NEEDLE_INLINE V at_least(V x, V least) {
  return x < least ? least : x;
}

// Whether scale(x, n), x 2^n rounded once for a whole n, is an instruction.
template <class V>
inline constexpr bool has_scale = false;
template <class V>
NEEDLE_INLINE V scale(V x, V n);

// Whether a lane of a comparison's result holds.
NEEDLE_INLINE bool any(i64v mask);

template <class V>
NEEDLE_INLINE int_of<V> bits(V v) {
  int_of<V> i;
  __builtin_memcpy(&i, &v, sizeof i);
  return i;
}

template <class V>
NEEDLE_INLINE V from_bits(int_of<V> i) {
  V v;
  __builtin_memcpy(&v, &i, sizeof v);
  return v;
}

// The lower or upper halves of a and b, their lanes taken in turn: a0 b0 a1 b1 ...
template <class V>
NEEDLE_INLINE V interleave_low(V a, V b) {
  constexpr int n = lanes<scalar_of<V>>;
  int_of<V> order = {};
  for (int i = 0; i < n; ++i) order[i] = i / 2 + (i % 2) * n;
  return __builtin_shuffle(a, b, order);
}
template <class V>
NEEDLE_INLINE V interleave_high(V a, V b) {
  constexpr int n = lanes<scalar_of<V>>;
  int_of<V> order = {};
  for (int i = 0; i < n; ++i) order[i] = (n + i) / 2 + (i % 2) * n;
  return __builtin_shuffle(a, b, order);
}

// The lower or upper half of the lanes as doubles, and both halves back, rounded.
typedef float f32half __attribute__((vector_size(kVectorBytes / 2)));

NEEDLE_INLINE f64v widen_low(f32v v) {
  f32half half;
  __builtin_memcpy(&half, &v, sizeof half);
  return __builtin_convertvector(half, f64v);
}
NEEDLE_INLINE f64v widen_high(f32v v) {
  f32half half;
  __builtin_memcpy(&half, reinterpret_cast<const char*>(&v) + sizeof half, sizeof half);
  return __builtin_convertvector(half, f64v);
}
NEEDLE_INLINE f32v narrow(f64v low, f64v high) {
  const f32half halves[2] = {__builtin_convertvector(low, f32half),
                             __builtin_convertvector(high, f32half)};
  f32v v;
  __builtin_memcpy(&v, halves, sizeof v);
  return v;
}

}  // namespace NEEDLE_NS

#include "simd_isa.h"
