// The geometry of a reduction: the axes that are kept and those that are folded, each kind in
// falling order of the input's strides and merged where two are walked as one.
#pragma once

#include "../core/view.h"

namespace NEEDLE_NS {

using std::int64_t;

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
  const auto weight = [](const Axis& x) {
    return static_cast<std::uint64_t>(x.a < 0 ? -x.a : x.a) - 1;
  };
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
static Plan make_plan(const needle::View& dst, const needle::View& a, const T*& data) {
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

}  // namespace NEEDLE_NS
