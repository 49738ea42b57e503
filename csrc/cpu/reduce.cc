// Reductions: sum and max (core/ops.def) over any axes of a view with any strides.
//
// A task folds rows into one row of results, with one cascade (cascade.h) per task:
//   contiguous kept axis     rows are its elements, or a tile of them;   (R, C) over axis 0: R rows of C
//   contiguous reduced axis  rows are stretches of it, folded again at the end;  (R, C) over axis 1: C / n rows of n
//   neither                  rows of one element
// Rows shorter than a tile that follow each other in memory are taken several at a time, and folded at the end too.
// When there are few tasks, the longest reduced axis is cut into parts, by its size alone, never by the threads.
#include <new>

#include "cascade.h"
#include "decls.h"
#include "loops.h"
#include "math.h"

#include "../core/functors.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

constexpr int64_t kFewTasks = 32, kMaxParts = 64, kPartElements = 32 * 1024;

struct Axis {
  int64_t size, a, dst;  // strides of the input and the output
};

struct Plan {
  Axis kept[needle::kMaxDims + 1], reduced[needle::kMaxDims];
  int n_kept = 0, n_reduced = 0;
  int64_t outputs = 1, inputs = 1;  // elements of the output, elements that go into each
};

// Falling strides of the input (0 first), and axes that are walked as one merged.
static int merge(Axis* axes, int n) {
  const auto weight = [](const Axis& x) { return static_cast<std::uint64_t>(x.a < 0 ? -x.a : x.a) - 1; };
  for (int i = 1; i < n; ++i) {
    for (int j = i; j > 0 && weight(axes[j - 1]) < weight(axes[j]); --j) {
      const Axis swapped = axes[j];
      axes[j] = axes[j - 1];
      axes[j - 1] = swapped;
    }
  }
  int out = 0;
  for (int i = 0; i < n; ++i) {
    const Axis& x = axes[i];
    if (out > 0 && axes[out - 1].a == x.a * x.size && axes[out - 1].dst == x.dst * x.size) {
      axes[out - 1] = {axes[out - 1].size * x.size, x.a, x.dst};
    } else {
      axes[out++] = x;
    }
  }
  return out;
}

template <class T>
static Plan make_plan(const View& dst, const View& a, const T*& data) {
  Plan plan;
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] == 1) continue;
    if (dst.shape[d] != 1) {
      plan.kept[plan.n_kept++] = {a.shape[d], a.strides[d], dst.strides[d]};
      plan.outputs *= a.shape[d];
      continue;
    }
    int64_t stride = a.strides[d];
    if (stride < 0) {  // the order of a reduction is ours
      data += stride * (a.shape[d] - 1);
      stride = -stride;
    }
    plan.reduced[plan.n_reduced++] = {a.shape[d], stride, 0};
    plan.inputs *= a.shape[d];
  }
  plan.n_kept = merge(plan.kept, plan.n_kept);
  plan.n_reduced = merge(plan.reduced, plan.n_reduced);
  if (plan.n_reduced == 0) plan.reduced[plan.n_reduced++] = {1, 0, 0};  // every plan has rows
  return plan;
}

// One row of results: `width` of them, dst_step apart, from rows of width * fold elements.
struct Tile {
  int64_t width, dst_step, fold;
};

constexpr int kMaxVectors = 8;  // of a row

// Pushes the rows along `run` for every index of the reduced axes before it.
template <class F, class T, int N>
static void push_all(const Axis* outer, int n_outer, const Axis& run, const T* p, const Tile& tile,
                     Cascade<F, T, N>& sum) {
  if (n_outer > 0) {
    for (int64_t i = 0; i < outer->size; ++i, p += outer->a) {
      push_all(outer + 1, n_outer - 1, run, p, tile, sum);
    }
    return;
  }
  const int64_t rows = run.size / tile.fold, rest = run.size % tile.fold;
  if (rows > 0) sum.push(p, rows, run.a * tile.fold, tile.width * tile.fold);
  if (rest > 0) sum.push_short(p + rows * run.a * tile.fold, rest * tile.width);
}

// Folds n values (numbers or vectors), step apart, into the first, by halves.
template <class F, class V>
static void fold(V* values, int64_t n, int64_t step) {
  while (n > 1) {
    const int64_t half = n / 2, kept = n - half;
    for (int64_t i = 0; i < half * step; ++i) values[i] = F::combine(values[i], values[kept * step + i]);
    n = kept;
  }
}

template <class F, class T, int N>
static void reduce_tile(const Plan& plan, const Tile& tile, const T* a, T* dst) {
  const int outer = plan.n_reduced - 1;
  Cascade<F, T, N> sum;
  push_all(plan.reduced, outer, plan.reduced[outer], a, tile, sum);
  vec<T> result[N];
  sum.finish(result);
  alignas(kVectorBytes) T row[N * lanes<T>];
  if (tile.width == 1) {  // every lane counts: those beyond the row hold the identity
    fold<F>(result, N, 1);
    store(row, result[0]);
    fold<F>(row, lanes<T>, 1);
  } else {
    for (int k = 0; k < N; ++k) store(row + k * lanes<T>, result[k]);
    fold<F>(row, tile.fold, tile.width);
  }
  for (int64_t i = 0; i < tile.width; ++i) dst[i * tile.dst_step] = row[i];
}

// With as many vectors as hold a row.
template <class F, class T, int N = kMaxVectors>
static void reduce_tile_of(int64_t vectors, const Plan& plan, const Tile& tile, const T* a, T* dst) {
  if (vectors == N) return reduce_tile<F, T, N>(plan, tile, a, dst);
  if constexpr (N > 1) reduce_tile_of<F, T, N - 1>(vectors, plan, tile, a, dst);
}

template <class F, class T>
static void execute(const Plan& plan, const T* a, T* dst);

// Cuts reduced axis d into `parts` of equal length and what remains; their results are reduced in turn.
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

  auto* partial = static_cast<T*>(::operator new(static_cast<std::size_t>(join.inputs * plan.outputs) * sizeof(T)));
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
  const int64_t tiles = (column.size + tile.width - 1) / tile.width;
  const int64_t tasks = plan.outputs / column.size * tiles;

  const int64_t parts = plan.inputs * tile.width / kPartElements;
  if (tasks < kFewTasks && parts > 1) {
    int longest = 0;
    for (int d = 1; d < plan.n_reduced; ++d) {
      if (plan.reduced[d].size > plan.reduced[longest].size) longest = d;
    }
    const int64_t size = plan.reduced[longest].size, most = parts < kMaxParts ? parts : kMaxParts;
    if (size > 1) return execute_parts<F>(plan, longest, most < size ? most : size, a, dst);
  }
  parallel(tasks, plan.outputs * plan.inputs, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % tiles * tile.width;
      const T* from = a + first;
      T* to = dst + first * column.dst;
      int64_t index = task / tiles;
      for (int d = outer - 1; d >= 0; --d) {
        from += index % plan.kept[d].size * plan.kept[d].a;
        to += index % plan.kept[d].size * plan.kept[d].dst;
        index /= plan.kept[d].size;
      }
      Tile mine = tile;
      if (column.size - first < mine.width) mine.width = column.size - first;
      reduce_tile_of<F, T>((mine.width * mine.fold + lanes<T> - 1) / lanes<T>, plan, mine, from, to);
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
