// Reductions over any axes: dst[o] = op over r of a[o, r], where o runs over the kept axes and r
// over the reduced ones.
//
// The order in which elements are combined follows from the shape alone (no atomics), so results
// repeat bit for bit. Rows: neighbouring threads walk r (the reduced axes lie closer in memory); L
// threads per output combine by shuffles within a warp, then through shared memory. Columns:
// neighbouring threads walk o; those that split r between them combine by a tree in shared memory.
// Few outputs of great length are cut into slices that a second pass combines.
//
// Where the innermost dimension has no gaps, threads load packs of 16 bytes: along r for rows,
// along o for columns. To keep kernels few, the op is chosen at run time elsewhere.
#include "kernels.h"
#include "maths.cuh"
#include "reduce_plan.cuh"

namespace NEEDLE_NS {
namespace {

using needle::ReduceOp;
using needle::View;

// The op, chosen when the kernel runs.
struct AnyReduce {
  ReduceOp op;
  NEEDLE_HD double identity() const {
    switch (op) {
#define NEEDLE_REDUCE(name, identity_value, formula) \
  case ReduceOp::name:                               \
    return reduce_##name::identity();
#include "../core/ops.def"
      case ReduceOp::count:
        break;
    }
    return 0;
  }
  template <class V>
  NEEDLE_HD V combine(V a, V b) const {
    switch (op) {
#define NEEDLE_REDUCE(name, identity_value, formula) \
  case ReduceOp::name:                               \
    return reduce_##name::combine(a, b);
#include "../core/ops.def"
      case ReduceOp::count:
        break;
    }
    return a;
  }
};

// Results of N outputs that lie side by side, or N parts of one.
template <class In, int N>
using Results = Pack<Compute<In>, N>;

template <int N, class Op, class In>
__device__ Results<In, N> identities(const Op& op) {
  Results<In, N> results;
  for (int k = 0; k < N; ++k) results.at[k] = static_cast<Compute<In>>(op.identity());
  return results;
}

// Packs `first`, first + step, ... below `end`, each element into the result of its place.
template <int N, class Op, class In, class I>
__device__ Results<In, N> combine_range(const Op& op, const Nest<1, I>& nest, const In* a, I first,
                                        I end, I step) {
  constexpr int ahead = sizeof(I) == 8 ? 1 : kAhead;  // divisions take the registers
  Results<In, N> results = identities<N, Op, In>(op);
  const auto load = [&](I r) { return load_pack<N>(a + nest.at(r).of[0]); };
  const auto take = [&](const Pack<In, N>& pack) {
    for (int k = 0; k < N; ++k) results.at[k] = op.combine(results.at[k], widen(pack.at[k]));
  };
  I r = first;
  for (; r + (ahead - 1) * step < end; r += ahead * step) {
    Pack<In, N> loaded[ahead];
    for (int i = 0; i < ahead; ++i) loaded[i] = load(r + static_cast<I>(i) * step);
    for (int i = 0; i < ahead; ++i) take(loaded[i]);
  }
  for (; r < end; r += step) take(load(r));
  return results;
}

template <class T>
__device__ void store(const Target& dst, std::int64_t offset, T value) {
  if constexpr (std::is_same_v<T, float>) {
    if (dst.dtype == needle::DType::float16) {
      static_cast<needle::Half*>(dst.data)[offset] = narrow<needle::Half>(value);
      return;
    }
    if (dst.dtype == needle::DType::bfloat16) {
      static_cast<needle::BFloat16*>(dst.data)[offset] = narrow<needle::BFloat16>(value);
      return;
    }
  }
  static_cast<T*>(dst.data)[offset] = value;
}

template <class T>
struct WarpResults {
  T of[kReduceThreads / kWarp];
};

// Block (L, outputs per block), L a power of two, whole warps.
template <int N, class Op, class In, class I>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_rows(Op op, const __grid_constant__ Pass<I> p, const In* a) {
  const I o = static_cast<I>(blockIdx.x) * blockDim.y + threadIdx.y;
  std::int64_t out = 0;
  auto value = static_cast<Compute<In>>(op.identity());
  if (o < p.outputs) {
    const auto at = p.kept.at(o);
    out = at.of[0] + blockIdx.y * p.slice_stride;
    auto parts = combine_range<N>(op, p.reduced, a + at.of[1],
                                  static_cast<I>(p.begin(blockIdx.y) + threadIdx.x),
                                  p.end(blockIdx.y), static_cast<I>(blockDim.x));
    for (int d = N / 2; d > 0; d /= 2) {
      for (int k = 0; k < d; ++k) parts.at[k] = op.combine(parts.at[k], parts.at[k + d]);
    }
    value = parts.at[0];
  }
  const unsigned lanes = blockDim.x < kWarp ? blockDim.x : kWarp;
  for (unsigned d = lanes / 2; d > 0; d /= 2) {
    value = op.combine(value, __shfl_down_sync(~0u, value, d));
  }
  if (blockDim.x > kWarp) {
    auto* warps = shared<WarpResults<Compute<In>>>().of + threadIdx.y * (blockDim.x / kWarp);
    if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (unsigned w = 1; w < blockDim.x / kWarp; ++w) value = op.combine(value, warps[w]);
    }
  }
  if (threadIdx.x == 0 && o < p.outputs) store(p.dst, out, value);
}

template <class In, int N>
struct ColumnResults {
  Results<In, N> of[kReduceThreads];
};

// Block (packs of outputs, threads that split r), both powers of two.
template <int N, class Op, class In, class I>
__global__ void __launch_bounds__(kReduceThreads)
    reduce_columns(Op op, const __grid_constant__ Pass<I> p, const In* a) {
  const unsigned x = threadIdx.x, y = threadIdx.y;
  const I o = static_cast<I>(blockIdx.x) * blockDim.x + x;
  std::int64_t out = 0;
  Results<In, N> results = identities<N, Op, In>(op);
  if (o < p.outputs) {
    const auto at = p.kept.at(o);
    out = at.of[0] + blockIdx.y * p.slice_stride;
    results = combine_range<N>(op, p.reduced, a + at.of[1], static_cast<I>(p.begin(blockIdx.y) + y),
                               p.end(blockIdx.y), static_cast<I>(blockDim.y));
  }
  Results<In, N>* column = shared<ColumnResults<In, N>>().of + x;
  column[y * blockDim.x] = results;
  for (unsigned d = blockDim.y / 2; d > 0; d /= 2) {
    __syncthreads();
    if (y < d) {
      const Results<In, N> others = column[(y + d) * blockDim.x];
      for (int k = 0; k < N; ++k) results.at[k] = op.combine(results.at[k], others.at[k]);
      column[y * blockDim.x] = results;
    }
  }
  if (y == 0 && o < p.outputs) {
    for (int k = 0; k < N; ++k) store(p.dst, out + k * p.output_stride, results.at[k]);
  }
}

template <int N, class I, class Op, class In>
void run_pass(const Stream& stream, const Op& op, const Plan& plan, const In* a, Target dst) {
  const dim3 grid(blocks_for(plan.outputs, plan.outputs_per_block()),
                  static_cast<unsigned>(plan.slices));
  launch(plan.rows ? reduce_rows<N, Op, In, I> : reduce_columns<N, Op, In, I>, grid, plan.block, 0,
         stream, op, make_pass<I>(plan, dst), a);
}

template <class Op, class In>
void run(const Stream& stream, ReduceOp op, const Plan& plan, const In* a, Target dst) {
  constexpr int pack = 16 / sizeof(In);
  if (plan.pack == pack) {
    run_pass<pack, std::uint32_t>(stream, Op{}, plan, a, dst);
  } else if (plan.fits_32_bits()) {
    run_pass<1, std::uint32_t>(stream, AnyReduce{op}, plan, a, dst);
  } else {
    run_pass<1, std::uint64_t>(stream, AnyReduce{op}, plan, a, dst);
  }
}

template <class Op, class In>
void reduce_typed(const Stream& stream, ReduceOp op, const View& dst, const View& a) {
  Plan plan = make_plan(dst, a);
  if (plan.outputs == 0) return;
  const auto* elements = static_cast<const In*>(a.data);
  if (plan.slices == 1) return run<Op>(stream, op, plan, elements, Target{dst.data, dst.dtype});
  const Scratch scratch(static_cast<std::size_t>(numel(dst) * plan.slices) * sizeof(Compute<In>),
                        stream);
  View partial = plan.to_partial(scratch.data());
  partial.dtype = sizeof(Compute<In>) == 8 ? needle::DType::float64 : needle::DType::float32;
  run<Op>(stream, op, plan, elements, Target{partial.data, partial.dtype});
  reduce_typed<Op, Compute<In>>(stream, op, plan.results(), partial);
}

}  // namespace

void reduce(const Stream& stream, ReduceOp op, View dst, View a) {
  const auto typed = [&]<class Op>(Op) {
    needle::visit_floating(
        a.dtype, [&](auto zero) { reduce_typed<Op, decltype(zero)>(stream, op, dst, a); });
  };
  switch (op) {
#define NEEDLE_REDUCE(name, identity, formula) \
  case ReduceOp::name:                         \
    return typed(reduce_##name{});
#include "../core/ops.def"
    case ReduceOp::count:
      return;
  }
}

}  // namespace NEEDLE_NS
