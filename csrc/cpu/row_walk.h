// What a walk over a row (row.h) consists of: offsets of stretches, a stretch in vectors, the lanes
// of a statistic.
#pragma once

#include "../core/row_layout.h"
#include "loops.h"
#include "math.h"
#include "reduce_task.h"

namespace NEEDLE_NS {

// Calls body(offset) for every index into n axes, in row-major order.
template <class Body>
static void for_offsets(const needle::RowLayout::Axis* axes, int n, const Body& body) {
  int64_t index[needle::kMaxDims] = {}, at = 0;
  for (int d = 0; d >= 0;) {
    body(at);
    for (d = n - 1; d >= 0; --d) {
      at += axes[d].stride;
      if (++index[d] < axes[d].size) break;
      at -= index[d] * axes[d].stride;
      index[d] = 0;
    }
  }
}

// to[i] = of(load(p)...) for n elements, where load(p) is the vector of p[i].
template <class T, class Of>
NEEDLE_INLINE void map_run(T* to, int64_t n, const Of& of) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) {
    store(to + i, of([&](const T* p) { return load(p + i); }));
  }
  if (i < n)
    store_partial(to + i, of([&](const T* p) { return load_partial(p + i, n - i); }), n - i);
}

// The first n lanes of v, then zeros.
template <class T>
NEEDLE_INLINE vec<T> first_lanes(vec<T> v, int64_t n) {
  ivec<T> lane = {};
  for (int i = 0; i < lanes<T>; ++i) lane[i] = i;
  return lane < static_cast<int_of<T>>(n) ? v : vec<T>{};
}

// The sums of parts, halves added to halves.
template <int M, int N, class V>
static void add_halves(V (*part)[M][N], int64_t parts, V (&result)[M][N]) {
  for (int64_t n = parts, half = n / 2; n > 1; n -= half, half = n / 2) {
    for (int64_t p = 0; p < half; ++p) {
      for (int m = 0; m < M; ++m) {
        for (int k = 0; k < N; ++k) part[p][m][k] = part[p][m][k] + part[n - half + p][m][k];
      }
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int k = 0; k < N; ++k) result[m][k] = part[0][m][k];
  }
}

// What a fold takes as it is.
struct Itself {};

// All lanes of v by F, in each lane.
template <class F, int Half, class V>
NEEDLE_INLINE V fold_lanes(V v) {
  if constexpr (Half == 0) {
    return v;
  } else {
    int_of<V> order = {};
    for (int i = 0; i < lanes<scalar_of<V>>; ++i) order[i] = i ^ Half;
    return fold_lanes<F, Half / 2>(F::combine(v, __builtin_shuffle(v, order)));
  }
}

}  // namespace NEEDLE_NS
