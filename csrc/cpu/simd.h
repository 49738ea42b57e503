// simd: the vector types of one instruction set in GCC vector extensions, and the few operations that need more.
//
//   vec<T>     64 (AVX-512), 32 (AVX) or 16 bytes of float or double; + - * / and comparisons work lane by lane, and
//              `mask ? p : q` selects
//   lanes<T>   how many T it holds
//   ivec<T>    signed integers of T's width, as many lanes: what comparisons give and bits() shows
//
// Everything is static in NEEDLE_NS: no instruction set's code can be linked in place of another's (core/view.h).
// Kernel files are compiled with -ffp-contract=off: a multiply-add is fused where fma() says so and nowhere else, so an
// element's value does not depend on the loop that it was computed in.
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

// scalar_t: a lane; int_t: the integer of the same shape. Scalars count as vectors of one lane.
template <class V>
struct shape_of;
template <>
struct shape_of<float> {
  using scalar_t = float;
  using int_t = std::int32_t;
  using vec_t = f32v;
};
template <>
struct shape_of<double> {
  using scalar_t = double;
  using int_t = std::int64_t;
  using vec_t = f64v;
};
template <>
struct shape_of<f32v> {
  using scalar_t = float;
  using int_t = i32v;
};
template <>
struct shape_of<f64v> {
  using scalar_t = double;
  using int_t = i64v;
};

template <class T>
using vec = typename shape_of<T>::vec_t;
template <class T>
using ivec = typename shape_of<vec<T>>::int_t;
template <class V>
using scalar_of = typename shape_of<V>::scalar_t;
template <class V>
using int_of = typename shape_of<V>::int_t;
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

// Past the caches, for outputs too large to stay there; p is aligned to kVectorBytes. stream_fence() after the last.
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

// Logical shift of a lane's bits.
NEEDLE_INLINE std::int32_t shift_right(std::int32_t v, int n) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(v) >> n);
}
NEEDLE_INLINE std::int64_t shift_right(std::int64_t v, int n) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(v) >> n);
}
NEEDLE_INLINE i32v shift_right(i32v v, int n) { return (i32v)((u32v)v >> n); }
NEEDLE_INLINE i64v shift_right(i64v v, int n) { return (i64v)((u64v)v >> n); }

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

// --- what each instruction set does in its own way
#if defined(__AVX512F__)

NEEDLE_INLINE __mmask16 first16(std::int64_t n) {
  return static_cast<__mmask16>((1u << n) - 1u);
}
NEEDLE_INLINE __mmask8 first8(std::int64_t n) {
  return static_cast<__mmask8>((1u << n) - 1u);
}
NEEDLE_INLINE f32v load_partial(const float* p, std::int64_t n) {
  return _mm512_maskz_loadu_ps(first16(n), p);
}
NEEDLE_INLINE f64v load_partial(const double* p, std::int64_t n) {
  return _mm512_maskz_loadu_pd(first8(n), p);
}
NEEDLE_INLINE void store_partial(float* p, f32v v, std::int64_t n) {
  _mm512_mask_storeu_ps(p, first16(n), v);
}
NEEDLE_INLINE void store_partial(double* p, f64v v, std::int64_t n) {
  _mm512_mask_storeu_pd(p, first8(n), v);
}
NEEDLE_INLINE void stream(float* p, f32v v) { _mm512_stream_ps(p, v); }
NEEDLE_INLINE void stream(double* p, f64v v) { _mm512_stream_pd(p, v); }
NEEDLE_INLINE f32v fma(f32v a, f32v b, f32v c) { return _mm512_fmadd_ps(a, b, c); }
NEEDLE_INLINE f64v fma(f64v a, f64v b, f64v c) { return _mm512_fmadd_pd(a, b, c); }

#elif defined(__AVX2__) && defined(__FMA__)

NEEDLE_INLINE __m256i first32(std::int64_t n) {
  const i32v lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return reinterpret_cast<__m256i>(lane < static_cast<std::int32_t>(n));
}
NEEDLE_INLINE __m256i first64(std::int64_t n) {
  const i64v lane = {0, 1, 2, 3};
  return reinterpret_cast<__m256i>(lane < n);
}
NEEDLE_INLINE f32v load_partial(const float* p, std::int64_t n) {
  return _mm256_maskload_ps(p, first32(n));
}
NEEDLE_INLINE f64v load_partial(const double* p, std::int64_t n) {
  return _mm256_maskload_pd(p, first64(n));
}
NEEDLE_INLINE void store_partial(float* p, f32v v, std::int64_t n) {
  _mm256_maskstore_ps(p, first32(n), v);
}
NEEDLE_INLINE void store_partial(double* p, f64v v, std::int64_t n) {
  _mm256_maskstore_pd(p, first64(n), v);
}
NEEDLE_INLINE void stream(float* p, f32v v) { _mm256_stream_ps(p, v); }
NEEDLE_INLINE void stream(double* p, f64v v) { _mm256_stream_pd(p, v); }
NEEDLE_INLINE f32v fma(f32v a, f32v b, f32v c) { return _mm256_fmadd_ps(a, b, c); }
NEEDLE_INLINE f64v fma(f64v a, f64v b, f64v c) { return _mm256_fmadd_pd(a, b, c); }

#else

template <class T>
NEEDLE_INLINE vec<T> load_lanes(const T* p, std::int64_t n) {
  vec<T> v = {};
  for (int i = 0; i < lanes<T>; ++i) {
    if (i < n) v[i] = p[i];
  }
  return v;
}
template <class T>
NEEDLE_INLINE void store_lanes(T* p, vec<T> v, std::int64_t n) {
  for (int i = 0; i < lanes<T>; ++i) {
    if (i < n) p[i] = v[i];
  }
}
template <class V>
NEEDLE_INLINE V fma_lanes(V a, V b, V c) {
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
  V v;
  for (int i = 0; i < lanes<scalar_of<V>>; ++i) v[i] = fma(a[i], b[i], c[i]);
  return v;
#else
  return a * b + c;
#endif
}
NEEDLE_INLINE f32v load_partial(const float* p, std::int64_t n) { return load_lanes(p, n); }
NEEDLE_INLINE f64v load_partial(const double* p, std::int64_t n) { return load_lanes(p, n); }
NEEDLE_INLINE void store_partial(float* p, f32v v, std::int64_t n) { store_lanes(p, v, n); }
NEEDLE_INLINE void store_partial(double* p, f64v v, std::int64_t n) { store_lanes(p, v, n); }
NEEDLE_INLINE f32v fma(f32v a, f32v b, f32v c) { return fma_lanes(a, b, c); }
NEEDLE_INLINE f64v fma(f64v a, f64v b, f64v c) { return fma_lanes(a, b, c); }
#if defined(__x86_64__)
NEEDLE_INLINE void stream(float* p, f32v v) { _mm_stream_ps(p, v); }
NEEDLE_INLINE void stream(double* p, f64v v) { _mm_stream_pd(p, v); }
#else
NEEDLE_INLINE void stream(float* p, f32v v) { store(p, v); }
NEEDLE_INLINE void stream(double* p, f64v v) { store(p, v); }
#endif

#endif

NEEDLE_INLINE float fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__FP_FAST_FMAF)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
NEEDLE_INLINE double fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__FP_FAST_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

}  // namespace NEEDLE_NS
