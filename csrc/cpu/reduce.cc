// Reductions (core/ops.def) over any axes of a view with any strides.
//
// A task folds rows into one row of results, with one cascade (cascade.h). Its rows are:
//   - where the kept axis is contiguous, its elements: (R, C) over axis 0 has R rows of C
//   - where a reduced axis is contiguous, stretches of it: (R, C) over axis 1 has C / n rows of n
//   - single elements where neither is
//
// Rows that follow each other in memory and are shorter than a tile are taken several at a time.
// What they leave side by side is folded at the end. When there are few tasks, a reduced axis
// is cut into parts, by the shape alone, never by the threads.
#include <new>

#include "decls.h"
#include "loops.h"
#include "math.h"
#include "reduce_task.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

constexpr int64_t kFewTasks = 32, kMaxParts = 64, kPartElements = 32 * 1024;

template <class F, class T>
static void execute(const Plan& plan, const T* a, T* dst);

// Cuts reduced axis d into `parts` of equal length and what remains; their results are reduced in
// turn.
template <class F, class T>
static void execute_parts(const Plan& plan, int d, int64_t parts, const T* a, T* dst) {
  const Axis cut = plan.reduced[d];
  constexpr int64_t unit = 32 * kMaxVectors * lanes<T>;
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
