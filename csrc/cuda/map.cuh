// Map: dst[i] = f(in0[i], in1[i], ...) over arrays of one shape, for elementwise ops, copies and
// fills.
//
// Contiguous: a thread handles 16 bytes of the output. Otherwise: a thread handles one element and
// finds it through the collapsed loop nest; to keep kernels few, f may choose the op at run time
// there.
#pragma once

#include "launch.cuh"
#include "nest.cuh"

namespace NEEDLE_NS {

constexpr int kMapThreads = 256;
constexpr int kMapBlocks =
    4;  // per multiprocessor at least: up to 64 registers, which no formula exceeds

template <class T>
struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T at[size];
};

// N input arrays of type A.
template <class A, int N>
struct Inputs {
  const A* at[N > 0 ? N : 1];
};

// f of what get(0), get(1), ... give.
template <int N, class F, class Get>
__device__ auto call(const F& f, const Get& get) {
  static_assert(N <= 2);
  if constexpr (N == 0) {
    return f();
  } else if constexpr (N == 1) {
    return f(get(0));
  } else {
    return f(get(0), get(1));
  }
}

template <class F, class T, class A, int N>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    map_contiguous(F f, std::int64_t n, T* __restrict__ dst, Inputs<A, N> in) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * kMapThreads + threadIdx.x) * Pack<T>::size;
  if (first + Pack<T>::size <= n) {
    Pack<A> loaded[N > 0 ? N : 1];
    for (int k = 0; k < N; ++k) loaded[k] = *reinterpret_cast<const Pack<A>*>(in.at[k] + first);
    Pack<T> out;
    for (int i = 0; i < Pack<T>::size; ++i) {
      out.at[i] = call<N>(f, [&](int k) -> const A& { return loaded[k].at[i]; });
    }
    *reinterpret_cast<Pack<T>*>(dst + first) = out;
  } else {
    for (std::int64_t i = first; i < n; ++i) {
      dst[i] = call<N>(f, [&](int k) -> const A& { return in.at[k][i]; });
    }
  }
}

template <class F, class T, class A, int N>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    map_strided(F f, std::uint32_t n, const __grid_constant__ Nest<1 + N, std::uint32_t> nest,
                T* __restrict__ dst, Inputs<A, N> in) {
  const std::uint32_t i = blockIdx.x * kMapThreads + threadIdx.x;
  if (i >= n) return;
  const auto at = nest.at(i);
  dst[at.of[0]] = call<N>(f, [&](int k) -> const A& { return in.at[k][at.of[k + 1]]; });
}

// Views of up to 2^31 elements go to the kernel as they are, larger ones in halves of their
// outermost dimension.
template <class T, class A, class F, int M>
void map_views(const Stream& stream, F f, const needle::View (&views)[M], T* dst,
               Inputs<A, M - 1> in) {
  const std::int64_t n = needle::numel(views[0]);
  if (n <= std::int64_t{1} << 31) {
    launch(map_strided<F, T, A, M - 1>, blocks_for(n, kMapThreads), kMapThreads, 0, stream, f,
           static_cast<std::uint32_t>(n), make_nest<M, std::uint32_t>(views), dst, in);
    return;
  }
  const std::int64_t half = views[0].shape[0] / 2;
  needle::View first[M], second[M];
  for (int v = 0; v < M; ++v) {
    first[v] = second[v] = views[v];
    first[v].shape[0] = half;
    second[v].shape[0] -= half;
  }
  map_views(stream, f, first, dst, in);
  for (int v = 1; v < M; ++v) in.at[v - 1] += half * views[v].strides[0];
  map_views(stream, f, second, dst + half * views[0].strides[0], in);
}

template <class A, int M>
Inputs<A, M - 1> inputs_of(const needle::View (&views)[M]) {
  Inputs<A, M - 1> in{};
  for (int v = 1; v < M; ++v) in.at[v - 1] = static_cast<const A*>(views[v].data);
  return in;
}

// views: the output, of type T, then the inputs, of type A; not empty.
template <class T, class A, class F, int M>
void map_strided_views(const Stream& stream, F f, needle::View (&views)[M]) {
  needle::collapse(views, M);
  map_views<T, A>(stream, f, views, static_cast<T*>(views[0].data), inputs_of<A>(views));
}

// The same for element types of one size: contiguous arrays through f, others through strided.
template <class T, class A, class F, class G, int M>
void map(const Stream& stream, F f, G strided, needle::View (&views)[M]) {
  static_assert(sizeof(T) == sizeof(A));
  needle::collapse(views, M);
  const std::int64_t n = needle::numel(views[0]);
  bool contiguous = true;
  for (const needle::View& v : views) {
    contiguous = contiguous && needle::is_compact(v) &&
                 reinterpret_cast<std::uintptr_t>(v.data) % alignof(Pack<T>) == 0;
  }
  if (contiguous) {
    launch(map_contiguous<F, T, A, M - 1>, blocks_for(n, std::int64_t{kMapThreads} * Pack<T>::size),
           kMapThreads, 0, stream, f, n, static_cast<T*>(views[0].data), inputs_of<A>(views));
  } else {
    map_strided_views<T, A>(stream, strided, views);
  }
}

}  // namespace NEEDLE_NS
