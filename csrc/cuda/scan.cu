// Running sums along an axis. A warp adds up 32 neighbours in 5 steps and carries their sum on; a
// thread walks elements one by one. Slices begin with the sum of those before, which a first pass
// has found. Source: Hillis and Steele, "Data parallel algorithms" (1986).
#include "kernels.h"
#include "lanes.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

// What a task begins with: adding to -0 changes nothing, and a first -0 stays.
template <class T>
__device__ T sum_before(const Lanes<3>& lanes, const std::int64_t* at, std::uint64_t slice,
                        const T* before) {
  return slice == 0 ? -T{} : before[at[1] + static_cast<std::int64_t>(slice - 1) * lanes.step[1]];
}

template <class T>
__global__ void __launch_bounds__(kLaneThreads)
    scan_warps(const __grid_constant__ Lanes<3> lanes, T* dst, const Compute<T>* before,
               const T* a) {
  const std::uint64_t task = (std::uint64_t{blockIdx.x} * kLaneThreads + threadIdx.x) / kLaneWarp;
  if (task >= lanes.tasks()) return;
  const unsigned thread = threadIdx.x % kLaneWarp;
  const std::uint64_t slice = task / lanes.count;
  const auto at = lanes.starts.at(task % lanes.count);
  const std::int64_t end = lanes.end(slice);
  Compute<T> sum = sum_before(lanes, at.of, slice, before);
  for (std::int64_t first = lanes.begin(slice); first < end; first += kLaneAhead * kLaneWarp) {
    Compute<T> x[kLaneAhead];
    for (int k = 0; k < kLaneAhead; ++k) {
      const std::int64_t i = first + k * kLaneWarp + thread;
      x[k] = i < end ? widen(a[at.of[2] + i * lanes.step[2]]) : -Compute<T>{};
    }
    for (int k = 0; k < kLaneAhead; ++k) {
      for (unsigned d = 1; d < kLaneWarp; d *= 2) {
        const Compute<T> earlier = __shfl_up_sync(~0u, x[k], d);
        if (thread >= d) x[k] = earlier + x[k];
      }
    }
    for (int k = 0; k < kLaneAhead; ++k) {
      const std::int64_t i = first + k * kLaneWarp + thread;
      x[k] = sum + x[k];
      sum = __shfl_sync(~0u, x[k], kLaneWarp - 1);
      if (i < end) dst[at.of[0] + i * lanes.step[0]] = narrow<T>(x[k]);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kLaneThreads)
    scan_threads(const __grid_constant__ Lanes<3> lanes, T* dst, const Compute<T>* before,
                 const T* a) {
  const std::uint64_t task = std::uint64_t{blockIdx.x} * kLaneThreads + threadIdx.x;
  if (task >= lanes.tasks()) return;
  const std::uint64_t slice = task / lanes.count;
  const auto at = lanes.starts.at(task % lanes.count);
  const std::int64_t end = lanes.end(slice);
  Compute<T> sum = sum_before(lanes, at.of, slice, before);
  for (std::int64_t first = lanes.begin(slice); first < end; first += kLaneAhead) {
    T x[kLaneAhead]{};
    for (int k = 0; k < kLaneAhead; ++k) {
      if (first + k < end) x[k] = a[at.of[2] + (first + k) * lanes.step[2]];
    }
    for (int k = 0; k < kLaneAhead; ++k) {
      if (first + k >= end) break;
      sum = sum + widen(x[k]);
      dst[at.of[0] + (first + k) * lanes.step[0]] = narrow<T>(sum);
    }
  }
}

// Starts from the last element.
void reverse(View& v, int axis) {
  const std::int64_t stride = v.strides[axis];
  v.data = static_cast<char*>(v.data) +
           (v.shape[axis] - 1) * stride * static_cast<std::int64_t>(needle::itemsize(v.dtype));
  v.strides[axis] = -stride;
}

template <class T>
void scan(const Stream& stream, const View& dst, const View& a, int axis) {
  const auto run = [&](const Lanes<3>& lanes, void* before) {
    launch_lanes(lanes.warps ? scan_warps<T> : scan_threads<T>, stream, lanes,
                 static_cast<T*>(dst.data), static_cast<const Compute<T>*>(before),
                 static_cast<const T*>(a.data));
  };
  const Lanes<3> lanes = make_lanes<3>({dst, a, a}, axis, a.ndim < needle::kMaxDims ? 0 : 1);
  if (lanes.slices == 1) return run(lanes, nullptr);

  // All slices but the last, along an axis of their own; their sums, and the running sums of these.
  View slices = a;
  slices.shape[axis] = static_cast<std::int64_t>(lanes.slices - 1);
  slices.strides[axis] *= lanes.slice;
  const auto sums = static_cast<std::size_t>(needle::numel(slices));
  const Scratch scratch(sums * sizeof(Compute<T>), stream);
  View before = computed_like(slices, scratch.data());
  View elements = slices, results = before;
  elements.shape[a.ndim] = lanes.slice;
  elements.strides[a.ndim] = a.strides[axis];
  results.shape[a.ndim] = results.strides[a.ndim] = 1;
  elements.ndim = results.ndim = a.ndim + 1;
  reduce(stream, needle::ReduceOp::sum, results, elements);
  scan<Compute<T>>(stream, before, before, axis);
  run(make_lanes<3>({dst, before, a}, axis, lanes.slices), scratch.data());
}

}  // namespace

void cumsum(const Stream& stream, View dst, View a, int axis, bool reversed) {
  if (reversed) {
    reverse(dst, axis);
    reverse(a, axis);
  }
  needle::visit_floating(dst.dtype, [&](auto zero) { scan<decltype(zero)>(stream, dst, a, axis); });
}

}  // namespace NEEDLE_NS
