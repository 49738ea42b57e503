// What weight and bias of every place in a row get from all rows:
//
//   dbias[j] = sum over rows r of dy[r, j]
//   dweight[j] = sum over rows r of dy[r, j] (x[r, j] - mean[r]) inverse[r]
//
// for arrays (count, length). Both in one walk down a strip of places, in Cascades. Where there are
// few strips, rows are cut into parts, by the shape alone, which threads share.
#pragma once

#include "row_walk.h"

namespace NEEDLE_NS {

constexpr int64_t kMaxPlaceParts = 32, kPlacePart = 16 * 1024, kFewStrips = 8;

template <class T>
struct AcrossRows {
  const T *dy, *x, *mean, *inverse;
  int64_t count, length;
  T *dweight, *dbias;
};

// Rows [begin, end) of places [first, first + columns), (N - 1) * lanes < columns <= N * lanes.
template <int N, class T>
static void sum_part(const AcrossRows<T>& a, int64_t first, int64_t columns, int64_t begin,
                     int64_t end, vec<T> (&result)[2][N]) {
  using V = vec<T>;
  const int64_t last = columns - (N - 1) * lanes<T>;
  const auto of = [&](int64_t r, int j, const auto& load_at) __attribute__((always_inline)) {
    const int64_t row = begin + r, at = row * a.length + first + j % N * lanes<T>;
    const V g = load_at(a.dy + at);
    if (j < N) return g;
    return g * ((load_at(a.x + at) - broadcast<V>(a.mean[row])) * broadcast<V>(a.inverse[row]));
  };
  Cascade<reduce_sum, T, 2 * N> sum;
  if (last == lanes<T>) {
    sum.push_made(end - begin, [&](int64_t r, int j) __attribute__((always_inline)) {
      return of(r, j, [](const T* p) { return load(p); });
    });
  } else {
    sum.push_made(end - begin, [&](int64_t r, int j) {
      return of(r, j, [&](const T* p) { return load_partial(p, last); });
    });
  }
  V all[2 * N];
  sum.finish(all);
  for (int j = 0; j < 2 * N; ++j) result[j / N][j % N] = all[j];
}

// `columns` places from the first on, of all rows.
template <int N, class T>
static void sum_strip(const AcrossRows<T>& a, int64_t parts, int64_t first, int64_t columns) {
  using V = vec<T>;
  V sum[2][N];
  if (parts == 1) {
    sum_part<N>(a, first, columns, 0, a.count, sum);
  } else {
    V part[kMaxPlaceParts][2][N];
    parallel(parts, kParallelElements, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        sum_part<N>(a, first, columns, a.count * p / parts, a.count * (p + 1) / parts, part[p]);
      }
    });
    add_halves(part, parts, sum);
  }
  for (int k = 0; k < N; ++k) {
    const int64_t left = columns - k * lanes<T>, at = first + k * lanes<T>;
    const int64_t n = left < lanes<T> ? left : lanes<T>;
    store_partial(a.dbias + at, sum[0][k], n);
    store_partial(a.dweight + at, sum[1][k], n);
  }
}

template <class T>
static void sum_places(const AcrossRows<T>& a) {
  constexpr int64_t wide = 4 * lanes<T>;
  const int64_t strips = (a.length + wide - 1) / wide;
  int64_t parts = a.count * (a.length < wide ? a.length : wide) / kPlacePart;
  parts = parts < kMaxPlaceParts ? parts : kMaxPlaceParts;
  if (strips >= kFewStrips || parts < 1) parts = 1;
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * wide; first < end * wide && first < a.length;) {
      const int64_t left = a.length - first;
      if (left >= wide) {
        sum_strip<4>(a, parts, first, wide);
        first += wide;
      } else {
        sum_strip<1>(a, parts, first, left < lanes<T> ? left : lanes<T>);
        first += lanes<T>;
      }
    }
  };
  if (parts > 1) return range(0, strips);
  parallel(strips, a.count * a.length * 2, range);
}

}  // namespace NEEDLE_NS
