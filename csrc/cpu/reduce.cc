// Reductions: sum and max (core/ops.def) over any axes of a view with any strides.
//
// A task folds rows into one row of results, with one cascade (cascade.h). Its rows are:
//   - where the kept axis is contiguous, its elements: (R, C) over axis 0 has R rows of C
//   - where a reduced axis is contiguous, stretches of it, n long: (R, C) over axis 1 has C / n
//   rows
//   - single elements where neither is
//
// Rows that follow each other in memory and are shorter than a tile are taken several at a time.
// What they leave side by side is folded at the end. When there are few tasks, a reduced axis
// is cut into parts, by the shape alone, never by the threads.
#include <new>
#include <type_traits>

#include "cascade.h"
#include "decls.h"
#include "loops.h"
#include "math.h"
#include "reduce_plan.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

constexpr int64_t kFewTasks = 32, kMaxParts = 64, kPartElements = 32 * 1024;
constexpr int64_t kLongRun = 32;  // rows

// One row of results: `width` of them, dst_step apart, from rows of width * fold elements.
struct Tile {
  int64_t width, dst_step, fold;
};

constexpr int kMaxVectors = 8;  // of a row

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
  if (tile.width == 1 && stride == Cascade<F, T, N>::kColumns && rows >= kLongRun) {
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
  const bool single = plan.n_reduced == 1 && plan.reduced[0].size == tile.fold;  // one row each
  vec<T> sums[n];
  T* to[n];
  for (int r = 0; r < n; ++r) {
    sums[r] = Cascade<F, T, N>::identity();
    if (r >= left) continue;
    const T* from = a;
    to[r] = dst;
    locate(plan, plan.n_kept, first + r, from, to[r]);
    vec<T> result[N];
    if (single) {
      Cascade<F, T, N>::fold_row(from, tile.fold, result);
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

template <class F, class T>
static void execute(const Plan& plan, const T* a, T* dst);

// Cuts reduced axis d into `parts` of equal length and what remains; their results are reduced in
// turn.
template <class F, class T>
static void execute_parts(const Plan& plan, int d, int64_t parts, const T* a, T* dst) {
  const Axis cut = plan.reduced[d];
  constexpr int64_t unit = 16 * kMaxVectors * lanes<T>;
  int64_t length = cut.size / parts;
  if (length > unit) length -= length % unit;
  parts = cut.size / length;
  const int64_t rest = cut.size - parts * length;

  Plan last = plan;  // to row `parts` of the partial results
  last.reduced[d].size = rest;
  int64_t stride = 1;
  for (int k = plan.n_kept - 1; k >= 0; --k) {
    last.kept[k].dst = stride;
    stride *= plan.kept[k].size;
  }
  Plan first = last;  // to the rows before
  first.reduced[d].size = length;
  first.n_kept = 1 + plan.n_kept;
  first.kept[0] = {parts, length * cut.a, plan.outputs};
  Plan join;  // from all rows
  join.n_kept = plan.n_kept;
  join.n_reduced = 1;
  join.reduced[0] = {parts + (rest > 0), plan.outputs, 0};
  for (int k = 0; k < plan.n_kept; ++k) {
    first.kept[k + 1] = last.kept[k];
    join.kept[k] = {plan.kept[k].size, last.kept[k].dst, plan.kept[k].dst};
  }
  first.outputs = parts * plan.outputs;
  join.outputs = plan.outputs;
  first.inputs = plan.inputs / cut.size * length;
  last.inputs = plan.inputs / cut.size * rest;
  join.inputs = join.reduced[0].size;

  auto* partial = static_cast<T*>(
      ::operator new(static_cast<std::size_t>(join.inputs * plan.outputs) * sizeof(T)));
  execute<F>(first, a, partial);
  if (rest > 0) execute<F>(last, a + parts * length * cut.a, partial + parts * plan.outputs);
  execute<F>(join, static_cast<const T*>(partial), dst);
  ::operator delete(partial);
}

template <class F, class T>
static void execute(const Plan& plan, const T* a, T* dst) {
  constexpr int64_t max_columns = kMaxVectors * lanes<T>;
  int outer = plan.n_kept;
  Axis column = {1, 0, 0};
  if (outer > 0 && plan.kept[outer - 1].a == 1) column = plan.kept[--outer];
  const Axis& run = plan.reduced[plan.n_reduced - 1];
  Tile tile = {column.size < max_columns ? column.size : max_columns, column.dst, 1};
  if (run.a == column.size && run.size > 1) {
    tile.fold = max_columns / tile.width < run.size ? max_columns / tile.width : run.size;
  }
  const bool grouped = column.size == 1;  // several results a task, not part of a row of them
  const int64_t tiles = (column.size + tile.width - 1) / tile.width;
  const int64_t tasks =
      grouped ? (plan.outputs + lanes<T> - 1) / lanes<T> : plan.outputs / column.size * tiles;

  const int64_t parts = plan.inputs * (grouped ? lanes<T> : tile.width) / kPartElements;
  if (tasks < kFewTasks && parts > 1) {
    int axis = 0;  // the outermost that gives enough parts, else the longest: rows stay long
    for (int d = 1; d < plan.n_reduced && plan.reduced[axis].size < kFewTasks; ++d) {
      if (plan.reduced[d].size > plan.reduced[axis].size) axis = d;
    }
    const int64_t size = plan.reduced[axis].size, most = parts < kMaxParts ? parts : kMaxParts;
    if (size > 1) return execute_parts<F>(plan, axis, most < size ? most : size, a, dst);
  }
  parallel(tasks, plan.outputs * plan.inputs, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      if (grouped) {
        with_vectors((tile.fold + lanes<T> - 1) / lanes<T>,
                     [&](auto n) { reduce_group<F, T, n>(plan, tile, task * lanes<T>, a, dst); });
        continue;
      }
      Tile mine = tile;
      const int64_t first = task % tiles * tile.width;
      if (column.size - first < mine.width) mine.width = column.size - first;
      const T* from = a + first;
      T* to = dst + first * column.dst;
      locate(plan, outer, task / tiles, from, to);
      with_vectors((mine.width * mine.fold + lanes<T> - 1) / lanes<T>,
                   [&](auto n) { reduce_tile<F, T, n>(plan, mine, from, to); });
    }
  });
}

template <class F>
static void reduce_dtype(const View& dst, const View& a) {
  needle::visit_computed(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* data = static_cast<const T*>(a.data);
    const Plan plan = make_plan(dst, a, data);
    if (plan.outputs > 0) execute<F>(plan, data, static_cast<T*>(dst.data));
  });
}

void reduce(needle::ReduceOp op, View dst, View a) {
  switch (op) {
#define NEEDLE_REDUCE(name, identity, formula) \
  case needle::ReduceOp::name:                 \
    return reduce_dtype<reduce_##name>(dst, a);
#include "../core/ops.def"
    case needle::ReduceOp::count:
      break;
  }
}

}  // namespace NEEDLE_NS
