// How a reduction is laid out over blocks and threads: what follows from shapes alone.
#pragma once

#include <algorithm>

#include "launch.cuh"
#include "nest.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {

constexpr unsigned kReduceThreads = 256;
constexpr unsigned kWarp = 32;
constexpr int kAhead = 4;                // packs that a thread loads before it combines the first
constexpr std::int64_t kSlice = 4096;    // elements of a slice of rows, at least
constexpr std::int64_t kSliceRows = 16;  // elements of a thread in a slice of columns, at least
constexpr std::int64_t kBusy = 1024;     // blocks that keep a GPU busy
constexpr std::int64_t kMaxSlices = 65535;  // the limit of gridDim.y

// Where results go: of the dtype that is computed in, or narrower.
struct Target {
  void* data;
  needle::DType dtype;
};

// One pass. Pack r of output (columns: of a pack of outputs) o, slice s, lies at kept.of[1] +
// reduced.of[0] for r in [s * slice, (s + 1) * slice); the result goes to kept.of[0] + s *
// slice_stride (columns: and output_stride further for each output of the pack).
template <class I>
struct Pass {
  Target dst;
  Nest<2, I> kept;
  Nest<1, I> reduced;
  I outputs, length, slice;
  std::int64_t slice_stride, output_stride;

  NEEDLE_HD I begin(unsigned s) const { return s * slice; }
  NEEDLE_HD I end(unsigned s) const {
    return length - s * slice < slice ? length : (s + 1) * slice;
  }
};

// A reduction as loop nests: kept = {dst, a} and reduced = a, collapsed, in packs along the
// innermost dimension of reduced (rows) or kept (columns).
struct Plan {
  needle::View kept[2], reduced;
  needle::View outputs_of_dst;  // kept[0] before it was packed
  std::int64_t outputs, length;
  bool rows;
  int pack;
  dim3 block{0, 0, 0};  // none yet: nothing can be cut into blocks of it
  std::int64_t slices, slice_stride, output_stride;

  std::int64_t outputs_per_block() const { return rows ? block.y : block.x; }
  bool fits_32_bits() const { return outputs <= kNarrow && length <= kNarrow; }
  std::int64_t slice() const { return (length + slices - 1) / slices; }

  // Results go to scratch memory, a slice beside the other for rows, behind it for columns; returns
  // them as an array with an axis of slices at its end.
  needle::View to_partial(void* scratch) {
    needle::View partial = outputs_of_dst;
    const int last = partial.ndim++;
    const std::int64_t all = outputs * (rows ? 1 : pack);
    partial.data = scratch;
    partial.shape[last] = slices;
    partial.strides[last] = slice_stride = rows ? 1 : all;
    output_stride = 1;
    std::int64_t stride = rows ? slices : 1;
    for (int d = last - 1; d >= 0; --d) {
      partial.strides[d] = stride;
      kept[0].strides[d] = d == last - 1 && !rows ? stride * pack : stride;
      stride *= partial.shape[d];
    }
    return partial;
  }
  // The outputs in dst, with an axis of size 1 at the end.
  needle::View results() const {
    needle::View view = outputs_of_dst;
    view.shape[view.ndim] = 1;
    view.strides[view.ndim++] = 0;
    return view;
  }
};

inline unsigned power_of_two_from(std::int64_t n, unsigned limit) {
  unsigned p = 1;
  while (p < n && p < limit) p *= 2;
  return p;
}

inline std::int64_t innermost_stride(const needle::View& v) {
  if (v.ndim == 0) return INT64_MAX;
  const std::int64_t stride = v.strides[v.ndim - 1];
  return stride < 0 ? -stride : stride;
}

// Walks the views in packs where that is possible.
inline void pack_plan(Plan& plan) {
  const int pack = 16 / static_cast<int>(needle::itemsize(plan.reduced.dtype));
  needle::View& walked = plan.rows ? plan.reduced : plan.kept[1];
  const needle::View& other = plan.rows ? plan.kept[1] : plan.reduced;
  const int last = walked.ndim - 1;
  if (plan.length == 0 || last < 0 || walked.shape[last] % pack != 0 || !in_packs(walked, pack))
    return;
  for (int d = 0; d < other.ndim; ++d) {
    if (other.strides[d] % pack != 0) return;
  }
  if (plan.outputs / (plan.rows ? 1 : pack) > kNarrow ||
      plan.length / (plan.rows ? pack : 1) > kNarrow) {
    return;
  }
  plan.pack = pack;
  (plan.rows ? plan.length : plan.outputs) /= pack;
  walked.shape[last] /= pack;
  walked.strides[last] *= pack;
  if (plan.rows) return;
  plan.output_stride = plan.kept[0].strides[last];
  plan.kept[0].shape[last] /= pack;
  plan.kept[0].strides[last] *= pack;
}

// Threads: as many as have something to load ahead, but neighbours for whole memory transactions;
// slices while the outputs alone do not fill the GPU.
inline void shape_plan(Plan& plan) {
  std::int64_t least;
  if (plan.rows) {
    const unsigned lanes =
        std::max(power_of_two_from(plan.length, 8),
                 power_of_two_from((plan.length + kAhead - 1) / kAhead, kReduceThreads));
    plan.block = dim3(
        lanes, std::max(kWarp / lanes, power_of_two_from(plan.outputs, kReduceThreads / lanes)));
    least = kSlice / plan.pack;
  } else {
    const unsigned x = power_of_two_from(plan.outputs, kWarp);
    const unsigned y =
        power_of_two_from((plan.length + 2 * kAhead - 1) / (2 * kAhead), kReduceThreads / x);
    plan.block = dim3(power_of_two_from(plan.outputs, kReduceThreads / y), y);
    least = kSliceRows * y;
  }
  const std::int64_t blocks =
      (plan.outputs + plan.outputs_per_block() - 1) / plan.outputs_per_block();
  plan.slices =
      std::clamp(std::min(plan.length / least, kBusy / blocks), std::int64_t{1}, kMaxSlices);
  // Of equal length, rounded up; the last may be shorter, none is empty.
  if (plan.slices > 1) plan.slices = (plan.length + plan.slice() - 1) / plan.slice();
}

inline Plan make_plan(const needle::View& dst, const needle::View& a) {
  Plan plan{};
  plan.kept[0] = dst;
  plan.kept[1] = plan.reduced = a;
  int kept = 0, reduced = 0;
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] == dst.shape[d]) {
      for (needle::View& v : plan.kept) v.shape[kept] = dst.shape[d];
      plan.kept[0].strides[kept] = dst.strides[d];
      plan.kept[1].strides[kept++] = a.strides[d];
    } else {
      plan.reduced.shape[reduced] = a.shape[d];
      plan.reduced.strides[reduced++] = a.strides[d];
    }
  }
  plan.kept[0].ndim = plan.kept[1].ndim = kept;
  plan.reduced.ndim = reduced;
  needle::collapse(plan.kept, 2);
  needle::collapse(&plan.reduced, 1);
  plan.outputs_of_dst = plan.kept[0];
  plan.outputs = needle::numel(plan.kept[0]);
  plan.length = needle::numel(plan.reduced);
  plan.rows = innermost_stride(plan.reduced) <= innermost_stride(plan.kept[1]);
  plan.pack = 1;
  if (plan.outputs > 0) {
    pack_plan(plan);
    shape_plan(plan);
  }
  return plan;
}

template <class I>
Pass<I> make_pass(const Plan& plan, Target dst) {
  return {dst,
          make_nest<2, I>(plan.kept),
          make_nest<1, I>(&plan.reduced),
          static_cast<I>(plan.outputs),
          static_cast<I>(plan.length),
          static_cast<I>(plan.slice()),
          plan.slice_stride,
          plan.output_stride};
}

}  // namespace NEEDLE_NS
