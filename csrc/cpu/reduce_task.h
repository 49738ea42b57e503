// One task of a reduction (reduce.cc): a row of results (reduce_tile), or several results that do
// not lie in a row of the input (reduce_group).
#pragma once

#include <type_traits>

#include "cascade.h"
#include "reduce_plan.h"

namespace NEEDLE_NS {

constexpr int kMaxVectors = 8;     // of a row
constexpr int64_t kLongRun = 128;  // rows

// One row of results: `width` of them, dst_step apart, from rows of width * fold elements.
struct Tile {
  int64_t width, dst_step, fold;
};

// Pushes every row: those along the last reduced axis, for every index of the axes before it.
template <class F, class T, int N>
static void push_all(const Plan& plan, const Tile& tile, const T* p, Cascade<F, T, N>& sum,
                     int axis = 0) {
  const Axis& run = plan.reduced[axis];
  if (axis < plan.n_reduced - 1) {
    for (int64_t i = 0; i < run.size; ++i) push_all(plan, tile, p + i * run.a, sum, axis + 1);
    return;
  }
  const int64_t rows = run.size / tile.fold, rest = run.size % tile.fold;
  const int64_t stride = run.a * tile.fold, columns = tile.width * tile.fold;
  if (N == kMaxVectors && tile.width == 1 && tile.fold == kMaxVectors * lanes<T> &&
      rows >= kLongRun) {
    // Four places of a long run at once: the processor fetches ahead within a page only.
    sum.push(p, rows, 2 * lanes<T>, columns, rows * 2 * lanes<T>);
  } else if (rows > 0) {
    sum.push(p, rows, stride, columns);
  }
  if (rest > 0) sum.push_short(p + rows * stride, rest * tile.width);
}

// Folds n groups of `width` values into the first, by halves.
template <class F, class T>
static void fold(T* row, int64_t n, int64_t width) {
  while (n > 1) {
    const int64_t half = n / 2, kept = n - half;
    for (int64_t i = 0; i < half * width; ++i) {
      row[i] = F::combine(row[i], row[kept * width + i]);
    }
    n = kept;
  }
}

template <class F, class V, int N, int Count = N>
NEEDLE_INLINE V fold_vectors(V (&v)[N]) {
  constexpr int half = Count / 2;
  for (int i = 0; i < half; ++i) v[i] = F::combine(v[i], v[Count - half + i]);
  if constexpr (Count > 1) fold_vectors<F, V, N, Count - half>(v);
  return v[0];
}

// Where the input and the result of an index into the first `outer` kept axes begin.
template <class T>
static void locate(const Plan& plan, int outer, int64_t index, const T*& a, T*& dst) {
  for (int d = outer - 1; d > 0; --d) {
    a += index % plan.kept[d].size * plan.kept[d].a;
    dst += index % plan.kept[d].size * plan.kept[d].dst;
    index /= plan.kept[d].size;
  }
  if (outer == 0) return;
  a += index * plan.kept[0].a;
  dst += index * plan.kept[0].dst;
}

// A row of results.
template <class F, class T, int N>
static void reduce_tile(const Plan& plan, const Tile& tile, const T* a, T* dst) {
  Cascade<F, T, N> sum;
  push_all(plan, tile, a, sum);
  vec<T> result[N];
  sum.finish(result);
  alignas(kVectorBytes) T row[N * lanes<T>];
  for (int k = 0; k < N; ++k) store(row + k * lanes<T>, result[k]);
  fold<F>(row, tile.fold, tile.width);
  for (int64_t i = 0; i < tile.width; ++i) dst[i * tile.dst_step] = row[i];
}

// Up to lanes<T> results from index `first` on, each from rows of `tile.fold` elements. Every lane
// of a folded vector counts (those beyond a row hold the identity), and the vectors of all results
// are folded at once: of two vectors' lanes, taken in turn, the lower and the upper half.
template <class F, class T, int N>
static void reduce_group(const Plan& plan, const Tile& tile, int64_t first, const T* a, T* dst) {
  constexpr int n = lanes<T>;
  const int64_t left = plan.outputs - first;
  const Axis& run = plan.reduced[0];
  const int64_t rows = run.size / tile.fold, rest = run.size % tile.fold;
  const bool is_short = plan.n_reduced == 1 && Cascade<F, T, N>::short_enough(rows);
  vec<T> sums[n];
  T* to[n];
  for (int r = 0; r < n; ++r) {
    sums[r] = Cascade<F, T, N>::identity();
    if (r >= left) continue;
    const T* from = a;
    to[r] = dst;
    locate(plan, plan.n_kept, first + r, from, to[r]);
    vec<T> result[N];
    if (is_short) {
      Cascade<F, T, N>::fold_short(from, rows, run.a * tile.fold, tile.fold, rest, result);
    } else {
      Cascade<F, T, N> sum;
      push_all(plan, tile, from, sum);
      sum.finish(result);
    }
    sums[r] = fold_vectors<F>(result);
  }
  for (int half = n / 2; half > 0; half /= 2) {
    for (int r = 0; r < half; ++r) {
      sums[r] = F::combine(interleave_low(sums[r], sums[r + half]),
                           interleave_high(sums[r], sums[r + half]));
    }
  }
  for (int r = 0; r < n && r < left; ++r) *to[r] = sums[0][r];
}

// Calls body with the number of vectors as a constant.
template <int N = kMaxVectors, class Body>
static void with_vectors(int64_t vectors, const Body& body) {
  if (vectors == N) return body(std::integral_constant<int, N>{});
  if constexpr (N > 1) with_vectors<N - 1>(vectors, body);
}

}  // namespace NEEDLE_NS
