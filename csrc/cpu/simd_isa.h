// The second half of simd.h: partial loads and stores, stores past the caches, fused multiply-add,
// square roots and the test of a mask, as each instruction set does them.
#pragma once

#include "simd.h"

namespace NEEDLE_NS {

#if defined(__AVX512F__)

NEEDLE_INLINE __mmask16 first16(std::int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
NEEDLE_INLINE __mmask8 first8(std::int64_t n) { return static_cast<__mmask8>((1u << n) - 1u); }
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
NEEDLE_INLINE f32v sqrt(f32v a) { return _mm512_maskz_sqrt_ps(0xffff, a); }
NEEDLE_INLINE f64v sqrt(f64v a) { return _mm512_maskz_sqrt_pd(0xff, a); }
NEEDLE_INLINE bool any(i64v mask) {
  const auto v = reinterpret_cast<__m512i>(mask);
  return _mm512_test_epi64_mask(v, v) != 0;
}
NEEDLE_INLINE f32v at_most(f32v x, f32v most) { return _mm512_maskz_min_ps(0xffff, most, x); }
NEEDLE_INLINE f64v at_most(f64v x, f64v most) { return _mm512_maskz_min_pd(0xff, most, x); }
NEEDLE_INLINE f32v at_least(f32v x, f32v least) { return _mm512_maskz_max_ps(0xffff, least, x); }
NEEDLE_INLINE f64v at_least(f64v x, f64v least) { return _mm512_maskz_max_pd(0xff, least, x); }
NEEDLE_INLINE f32v scale(f32v x, f32v n) { return _mm512_maskz_scalef_ps(0xffff, x, n); }
NEEDLE_INLINE f64v scale(f64v x, f64v n) { return _mm512_maskz_scalef_pd(0xff, x, n); }
template <>
inline constexpr bool has_scale<f32v> = true;
template <>
inline constexpr bool has_scale<f64v> = true;

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
NEEDLE_INLINE f32v sqrt(f32v a) { return _mm256_sqrt_ps(a); }
NEEDLE_INLINE f64v sqrt(f64v a) { return _mm256_sqrt_pd(a); }
NEEDLE_INLINE bool any(i64v mask) {
  return _mm256_movemask_pd(reinterpret_cast<__m256d>(mask)) != 0;
}

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
  for (int i = 0; i < lanes<scalar_of<V> >; ++i) v[i] = fma(a[i], b[i], c[i]);
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
NEEDLE_INLINE f32v sqrt(f32v a) { return _mm_sqrt_ps(a); }
NEEDLE_INLINE f64v sqrt(f64v a) { return _mm_sqrt_pd(a); }
NEEDLE_INLINE bool any(i64v mask) { return _mm_movemask_pd(reinterpret_cast<__m128d>(mask)) != 0; }
#else
NEEDLE_INLINE void stream(float* p, f32v v) { store(p, v); }
NEEDLE_INLINE void stream(double* p, f64v v) { store(p, v); }
template <class V>
NEEDLE_INLINE V sqrt_lanes(V a) {
  for (int i = 0; i < lanes<scalar_of<V> >; ++i) a[i] = __builtin_sqrt(a[i]);
  return a;
}
NEEDLE_INLINE f32v sqrt(f32v a) { return sqrt_lanes(a); }
NEEDLE_INLINE f64v sqrt(f64v a) { return sqrt_lanes(a); }
NEEDLE_INLINE bool any(i64v mask) {
  for (int i = 0; i < lanes<double>; ++i) {
    if (mask[i] != 0) return true;
  }
  return false;
}
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
