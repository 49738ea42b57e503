// loops: how the kernels walk memory. Views are collapsed to rows (runs along the innermost
// dimension), rows are cut into segments, and segments are dealt to threads. Which thread computes
// an element never changes how it is computed.
#pragma once

#include <omp.h>

#include "../core/host_memory.h"
#include "../core/view.h"
#include "simd.h"

namespace NEEDLE_NS {

constexpr std::int64_t kParallelElements =
    64 * 1024;                                // below, waking the threads costs more than it saves
constexpr std::int64_t kSegment = 16 * 1024;  // elements of a row that are one unit of work
constexpr std::int64_t kStreamBytes =
    8 * 1024 * 1024;  // what one core had better not write to its caches

// Outputs from here on bypass the caches. Several cores fill the cache that they share faster than
// memory, so what fits there stays there.
static inline std::int64_t stream_bytes() {
  static const std::int64_t shared = needle::shared_cache_bytes();
  return omp_get_max_threads() > 1 && shared > kStreamBytes ? shared : kStreamBytes;
}

// Calls range(begin, end) so that the calls cover [0, tasks): once, or on every thread when the
// work is worth it.
template <class Range>
static void parallel(std::int64_t tasks, std::int64_t elements, const Range& range) {
  // Branching before the region: even a region of one thread costs 0.3 us.
  if (elements < kParallelElements || tasks == 1 || omp_get_max_threads() == 1) {
    range(0, tasks);
    return;
  }
#pragma omp parallel
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    range(tasks * thread / threads, tasks * (thread + 1) / threads);
  }
}

// Collapses views of one shape (the output first) to at least one dimension.
template <int N>
static void collapse_rows(needle::View (&views)[N]) {
  needle::collapse(views, N);
  if (views[0].ndim > 0) return;
  for (needle::View& v : views) {
    v.ndim = 1;
    v.shape[0] = 1;
    v.strides[0] = 1;
  }
}

static inline std::int64_t inner_size(const needle::View& v) { return v.shape[v.ndim - 1]; }
static inline std::int64_t inner_stride(const needle::View& v) { return v.strides[v.ndim - 1]; }

// Whether an output is written past the caches: large, and in rows that are long runs of memory.
static inline bool streams(const needle::View& dst) {
  const auto size = static_cast<std::int64_t>(needle::itemsize(dst.dtype));
  return inner_stride(dst) == 1 && inner_size(dst) * size >= 4096 &&
         needle::numel(dst) * size >= kStreamBytes &&
         reinterpret_cast<std::uintptr_t>(dst.data) % needle::itemsize(dst.dtype) == 0 &&
         needle::numel(dst) * size >= stream_bytes();
}

// Calls body(pointers, n) for every row segment of collapsed views: pointers[k] is the segment's
// first element in views[k]. An element stands for `weight` elements of work. What a thread wrote
// past the caches is in memory when its part is done: a fence for each row would wait too often.
template <int N, class Body>
static void for_rows(const needle::View (&views)[N], const Body& body, std::int64_t weight = 1,
                     std::int64_t most = kSegment) {
  const int outer = views[0].ndim - 1;
  const std::int64_t inner = views[0].shape[outer], total = needle::numel(views[0]);
  if (total == 0) return;
  const bool streamed = streams(views[0]);
  const std::int64_t segments = (inner + most - 1) / most;
  std::int64_t step[N][needle::kMaxDims];  // strides in bytes
  for (int k = 0; k < N; ++k) {
    for (int d = 0; d <= outer; ++d) {
      step[k][d] =
          views[k].strides[d] * static_cast<std::int64_t>(needle::itemsize(views[k].dtype));
    }
  }
  const auto range = [&](std::int64_t begin, std::int64_t end) {
    std::int64_t index[needle::kMaxDims], row = begin / segments, segment = begin % segments;
    char* rows[N];
    for (int k = 0; k < N; ++k) rows[k] = static_cast<char*>(views[k].data);
    for (int d = outer - 1; d >= 0; --d) {
      index[d] = row % views[0].shape[d];
      row /= views[0].shape[d];
      for (int k = 0; k < N; ++k) rows[k] += index[d] * step[k][d];
    }
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = segment * most;
      char* pointers[N];
      for (int k = 0; k < N; ++k) pointers[k] = rows[k] + first * step[k][outer];
      body(pointers, inner - first < most ? inner - first : most);
      if (++segment < segments) continue;
      segment = 0;
      for (int d = outer - 1; d >= 0; --d) {
        for (int k = 0; k < N; ++k) rows[k] += step[k][d];
        if (++index[d] < views[0].shape[d]) break;
        for (int k = 0; k < N; ++k) rows[k] -= index[d] * step[k][d];
        index[d] = 0;
      }
    }
    if (streamed) stream_fence();
  };
  parallel(total / inner * segments, total * weight, range);
}

}  // namespace NEEDLE_NS
