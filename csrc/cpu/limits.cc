// What this processor reaches at best, for benchmarks to hold kernels against. Every thread works
// on its own; the caller takes the time.
//
//   - multiply_adds: kChains accumulators in registers that wait for each other never: x = x a + b
//   - move: `bytes` are read, or copied, again and again; each thread has a part that it walks
//     `times` times, so that small sets stay in its own cache. Copies go past the caches if asked
#include <omp.h>

#include "decls.h"
#include "simd.h"

namespace NEEDLE_NS {

namespace {

constexpr int kChains = 12;  // two units of four cycles need eight; sixteen registers hold twelve
constexpr int kReads = 8;    // sums side by side, so that reading waits for no addition

// What the compiler must take for used and changed.
template <class V>
NEEDLE_INLINE void keep(V& v) {
  asm volatile("" : "+m"(v) : : "memory");
}

template <class T>
void chains(std::int64_t rounds) {
  vec<T> x[kChains], a = broadcast<vec<T>>(T(0.5)), b = broadcast<vec<T>>(T(1));
  keep(a);
  keep(b);
  for (vec<T>& v : x) v = b;
  for (std::int64_t r = 0; r < rounds; ++r) {
    for (vec<T>& v : x) v = fma(v, a, b);
  }
  for (vec<T>& v : x) keep(v);
}

void read(const float* from, std::int64_t n) {
  f32v sums[kReads] = {};
  for (std::int64_t i = 0; i < n; i += kReads * lanes<float>) {
    for (int k = 0; k < kReads; ++k) sums[k] = sums[k] + load(from + i + k * lanes<float>);
  }
  for (f32v& sum : sums) keep(sum);
}

template <bool Past>
void copy_part(float* to, const float* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += kReads * lanes<float>) {
    for (int k = 0; k < kReads; ++k) {
      const f32v v = load(from + i + k * lanes<float>);
      float* const p = to + i + k * lanes<float>;
      Past ? stream(p, v) : store(p, v);
    }
  }
  if (Past) stream_fence();
  asm volatile("" : : : "memory");  // the next time is not the same again
}

}  // namespace

double multiply_adds(needle::DType dtype, std::int64_t rounds) {
  const bool single = dtype == needle::DType::float32;
#pragma omp parallel
  single ? chains<float>(rounds) : chains<double>(rounds);
  const int width = single ? lanes<float> : lanes<double>;
  return 2.0 * kChains * width * static_cast<double>(rounds) * omp_get_max_threads();
}

void move(void* dst, const void* src, std::int64_t bytes, std::int64_t times, bool past) {
  constexpr std::int64_t block = kReads * lanes<float>;
  const std::int64_t blocks = bytes / (block * static_cast<std::int64_t>(sizeof(float)));
#pragma omp parallel
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const std::int64_t begin = blocks * thread / threads * block;
    const std::int64_t n = blocks * (thread + 1) / threads * block - begin;
    const float* from = static_cast<const float*>(src) + begin;
    float* to = dst == nullptr ? nullptr : static_cast<float*>(dst) + begin;
    for (std::int64_t i = 0; i < times; ++i) {
      if (to == nullptr) {
        read(from, n);
      } else if (past) {
        copy_part<true>(to, from, n);
      } else {
        copy_part<false>(to, from, n);
      }
    }
  }
}

}  // namespace NEEDLE_NS
