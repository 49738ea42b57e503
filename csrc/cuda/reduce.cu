// Reductions over any axes: dst[o] = op over r of a[o, r], where o runs over the kept axes and r
// over the reduced ones.
//
// The order in which elements are combined follows from the shape alone (no atomics), so results
// repeat bit for bit. Rows: neighbouring threads walk r (the reduced axes lie closer in memory); L
// threads per output combine by shuffles within a warp, then through shared memory. Columns:
// neighbouring threads walk o, 8 per output split r and combine by a tree in shared memory. Few
// outputs of great length are cut into slices that a second pass combines.
#include "kernels.h"
#include "maths.cuh"
#include "nest.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

constexpr unsigned kThreads = 256;
constexpr unsigned kWarp = 32;
constexpr unsigned kColumns = 32;
constexpr unsigned kLanes = kThreads / kColumns;
constexpr std::int64_t kSlice = 4096;       // elements of a slice, at least
constexpr std::int64_t kBusy = 512;         // blocks that keep a GPU busy
constexpr std::int64_t kMaxSlices = 65535;  // the limit of gridDim.y

// One pass. Element r of output o, slice s: a[kept.of[1] + reduced.of[0]] for r in [s * slice, (s +
// 1) * slice); the result goes to dst[kept.of[0] + s * slice_stride].
template <class Out, class In, class I>
struct Pass {
  Out* dst;
  const In* a;
  Nest<2, I> kept;
  Nest<1, I> reduced;
  I outputs, length, slice;
  std::int64_t slice_stride;

  NEEDLE_HD I begin(unsigned s) const { return s * slice; }
  NEEDLE_HD I end(unsigned s) const {
    return length - s * slice < slice ? length : (s + 1) * slice;
  }
};

template <class Op, class In, class P, class I>
__device__ Compute<In> combine_range(const P& p, const In* a, I first, I end, I step) {
  auto value = static_cast<Compute<In>>(Op::identity());
  for (I r = first; r < end; r += step) value = Op::combine(value, widen(a[p.reduced.at(r).of[0]]));
  return value;
}

template <class T>
struct WarpResults {
  T of[kThreads / kWarp];
};

// Block (L, outputs per block), L a power of two, whole warps.
template <class Op, class Out, class In, class I>
__global__ void __launch_bounds__(kThreads) reduce_rows(Pass<Out, In, I> p) {
  using T = Compute<In>;
  const I o = static_cast<I>(blockIdx.x) * blockDim.y + threadIdx.y;
  std::int64_t out = 0;
  T value = static_cast<T>(Op::identity());
  if (o < p.outputs) {
    const auto at = p.kept.at(o);
    out = at.of[0];
    value = combine_range<Op>(p, p.a + at.of[1], static_cast<I>(p.begin(blockIdx.y) + threadIdx.x),
                              p.end(blockIdx.y), static_cast<I>(blockDim.x));
  }
  const unsigned lanes = blockDim.x < kWarp ? blockDim.x : kWarp;
  for (unsigned d = lanes / 2; d > 0; d /= 2) {
    value = Op::combine(value, __shfl_down_sync(~0u, value, d));
  }
  if (blockDim.x > kWarp) {
    T* warps = shared<WarpResults<T>>().of + threadIdx.y * (blockDim.x / kWarp);
    if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (unsigned w = 1; w < blockDim.x / kWarp; ++w) value = Op::combine(value, warps[w]);
    }
  }
  if (threadIdx.x == 0 && o < p.outputs)
    p.dst[out + blockIdx.y * p.slice_stride] = narrow<Out>(value);
}

template <class T>
struct ColumnResults {
  T of[kLanes][kColumns];
};

// Block (kColumns, kLanes).
template <class Op, class Out, class In, class I>
__global__ void __launch_bounds__(kThreads) reduce_columns(Pass<Out, In, I> p) {
  using T = Compute<In>;
  ColumnResults<T>& partial = shared<ColumnResults<T>>();
  const unsigned x = threadIdx.x, y = threadIdx.y;
  const I o = static_cast<I>(blockIdx.x) * kColumns + x;
  std::int64_t out = 0;
  T value = static_cast<T>(Op::identity());
  if (o < p.outputs) {
    const auto at = p.kept.at(o);
    out = at.of[0];
    value = combine_range<Op>(p, p.a + at.of[1], static_cast<I>(p.begin(blockIdx.y) + y),
                              p.end(blockIdx.y), static_cast<I>(kLanes));
  }
  partial.of[y][x] = value;
  for (unsigned d = kLanes / 2; d > 0; d /= 2) {
    __syncthreads();
    if (y < d) partial.of[y][x] = Op::combine(partial.of[y][x], partial.of[y + d][x]);
  }
  if (y == 0 && o < p.outputs)
    p.dst[out + blockIdx.y * p.slice_stride] = narrow<Out>(partial.of[0][x]);
}

// A reduction as loop nests: kept = {dst, a} and reduced = a, collapsed.
struct Plan {
  View kept[2], reduced;
  std::int64_t outputs, length;
  bool rows;
  unsigned lanes;  // threads per output, when rows
};

unsigned power_of_two_above(std::int64_t n, unsigned limit) {
  unsigned p = 1;
  while (p < n && p < limit) p *= 2;
  return p;
}

Plan make_plan(View dst, View a) {
  Plan plan{{dst, a}, a, needle::numel(dst), 1, true, 1};
  int kept = 0, reduced = 0;
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] == dst.shape[d]) {
      for (View& v : plan.kept) v.shape[kept] = dst.shape[d];
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
  plan.length = needle::numel(plan.reduced);
  const auto innermost = [](const View& v) {
    if (v.ndim == 0) return INT64_MAX;
    const std::int64_t stride = v.strides[v.ndim - 1];
    return stride < 0 ? -stride : stride;
  };
  plan.rows = innermost(plan.reduced) <= innermost(plan.kept[1]);
  plan.lanes = power_of_two_above(plan.length, kThreads);
  return plan;
}

template <class Op, class Out, class In, class I>
void run_pass(const Stream& stream, const Plan& plan, std::int64_t slices,
              std::int64_t slice_stride) {
  const auto outputs = static_cast<I>(plan.outputs), length = static_cast<I>(plan.length);
  const Pass<Out, In, I> pass{static_cast<Out*>(plan.kept[0].data),
                              static_cast<const In*>(plan.kept[1].data),
                              make_nest<2, I>(plan.kept),
                              make_nest<1, I>(&plan.reduced),
                              outputs,
                              length,
                              static_cast<I>((plan.length + slices - 1) / slices),
                              slice_stride};
  const auto y = static_cast<unsigned>(slices);
  if (plan.rows) {
    const unsigned per_block =
        std::max(kWarp / plan.lanes, power_of_two_above(plan.outputs, kThreads / plan.lanes));
    launch(reduce_rows<Op, Out, In, I>, dim3(blocks_for(plan.outputs, per_block), y),
           dim3(plan.lanes, per_block), 0, stream, pass);
  } else {
    launch(reduce_columns<Op, Out, In, I>, dim3(blocks_for(plan.outputs, kColumns), y),
           dim3(kColumns, kLanes), 0, stream, pass);
  }
}

template <class Op, class Out, class In>
void run(const Stream& stream, const Plan& plan, std::int64_t slices, std::int64_t slice_stride) {
  constexpr std::int64_t limit = std::int64_t{1} << 31;
  if (plan.outputs < limit && plan.length < limit) {
    run_pass<Op, Out, In, std::uint32_t>(stream, plan, slices, slice_stride);
  } else {
    run_pass<Op, Out, In, std::uint64_t>(stream, plan, slices, slice_stride);
  }
}

// How many slices: none while the outputs alone fill the GPU.
std::int64_t slices_of(const Plan& plan) {
  const std::int64_t per_block = plan.rows ? kThreads / plan.lanes : kColumns;
  const std::int64_t blocks = (plan.outputs + per_block - 1) / per_block;
  return std::clamp(std::min(plan.length / kSlice, kBusy / blocks), std::int64_t{1}, kMaxSlices);
}

template <class Op, class T>
void reduce_typed(const Stream& stream, View dst, View a) {
  Plan plan = make_plan(dst, a);
  if (plan.outputs == 0) return;
  const std::int64_t wanted = slices_of(plan);
  if (wanted == 1) return run<Op, T, T>(stream, plan, 1, 0);
  // Slices are of equal length, rounded up; the last may be shorter, none is empty.
  const std::int64_t slice = (plan.length + wanted - 1) / wanted;
  const std::int64_t slices = (plan.length + slice - 1) / slice;
  const Scratch scratch(static_cast<std::size_t>(plan.outputs * slices) * sizeof(Compute<T>),
                        stream);

  // First pass: to partial[o, s]; second pass: over s.
  Plan second = plan;
  std::int64_t stride = slices;
  for (int d = plan.kept[0].ndim - 1; d >= 0; --d) {
    plan.kept[0].strides[d] = second.kept[1].strides[d] = stride;
    stride *= plan.kept[0].shape[d];
  }
  plan.kept[0].data = second.kept[1].data = scratch.data();
  second.reduced.ndim = 1;
  second.reduced.shape[0] = second.length = slices;
  second.reduced.strides[0] = 1;
  second.rows = true;
  second.lanes = power_of_two_above(slices, kThreads);
  run<Op, Compute<T>, T>(stream, plan, slices, 1);
  run<Op, T, Compute<T>>(stream, second, 1, 0);
}

}  // namespace

void reduce(const Stream& stream, needle::ReduceOp op, View dst, View a) {
  const auto typed = [&]<class Op>(Op) {
    needle::visit_floating(dst.dtype,
                           [&](auto zero) { reduce_typed<Op, decltype(zero)>(stream, dst, a); });
  };
  switch (op) {
#define NEEDLE_REDUCE(name, identity, formula) \
  case needle::ReduceOp::name:                 \
    return typed(reduce_##name{});
#include "../core/ops.def"
    case needle::ReduceOp::count:
      return;
  }
}

}  // namespace NEEDLE_NS
