// What runs along one axis in order: scatter_add, cumsum, argmax and argmin. A lane is what lies
// along the axis at one index of the others: a thread walks a lane from one end to the other, so
// that the order is fixed and needs no atomics.
#include "kernels.h"
#include "nest.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

constexpr unsigned kThreads = 128;

// N arrays by lane: where each lane starts, and the arrays' strides along it.
template <int N>
struct Lanes {
  std::uint64_t count;
  std::int64_t length;
  Nest<N, std::uint64_t> starts;
  std::int64_t step[N];
};

// views[1] has the lanes' length.
template <int N>
Lanes<N> make_lanes(const View (&views)[N], int axis) {
  Lanes<N> lanes{};
  View starts[N];
  for (int k = 0; k < N; ++k) {
    starts[k] = views[k];
    starts[k].shape[axis] = 1;
    lanes.step[k] = views[k].strides[axis];
  }
  needle::collapse(starts, N);
  lanes.count = static_cast<std::uint64_t>(needle::numel(starts[0]));
  lanes.length = views[1].shape[axis];
  lanes.starts = make_nest<N, std::uint64_t>(starts);
  return lanes;
}

template <int N, class... Params, class... Args>
void launch_lanes(void (*kernel)(Lanes<N>, Params...), const Stream& stream, const Lanes<N>& lanes,
                  Args... args) {
  launch(kernel, blocks_for(static_cast<std::int64_t>(lanes.count), kThreads), kThreads, 0, stream,
         lanes, args...);
}

__device__ std::uint64_t lane_of_thread() {
  return std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    scatter_lanes(Lanes<3> lanes, Compute<T>* dst, const T* a, const std::int64_t* index) {
  const std::uint64_t lane = lane_of_thread();
  if (lane >= lanes.count) return;
  const auto at = lanes.starts.at(lane);
  for (std::int64_t i = 0; i < lanes.length; ++i) {
    const std::int64_t place = index[at.of[2] + i * lanes.step[2]];
    dst[at.of[0] + place * lanes.step[0]] += widen(a[at.of[1] + i * lanes.step[1]]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    cumsum_lanes(Lanes<2> lanes, T* dst, const T* a, bool reversed) {
  const std::uint64_t lane = lane_of_thread();
  if (lane >= lanes.count) return;
  const auto at = lanes.starts.at(lane);
  Compute<T> sum{};
  for (std::int64_t k = 0; k < lanes.length; ++k) {
    const std::int64_t i = reversed ? lanes.length - 1 - k : k;
    const Compute<T> x = widen(a[at.of[1] + i * lanes.step[1]]);
    sum = k == 0 ? x : sum + x;  // -0 stays
    dst[at.of[0] + i * lanes.step[0]] = narrow<T>(sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    arg_lanes(Lanes<2> lanes, std::int64_t* dst, const T* a, bool largest) {
  const std::uint64_t lane = lane_of_thread();
  if (lane >= lanes.count) return;
  const auto at = lanes.starts.at(lane);
  Compute<T> best = widen(a[at.of[1]]);
  std::int64_t place = 0;
  for (std::int64_t i = 1; i < lanes.length; ++i) {
    const Compute<T> x = widen(a[at.of[1] + i * lanes.step[1]]);
    const bool better = largest ? x > best : x < best;
    if (better || (x != x && best == best)) {
      best = x;
      place = i;
    }
  }
  dst[at.of[0]] = place;
}

}  // namespace

void scatter_add(const Stream& stream, View dst, View a, View index, int axis) {
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto add_to = [&](const View& sums) {
      launch_lanes(scatter_lanes<T>, stream, make_lanes<3>({sums, a, index}, axis),
                   static_cast<Compute<T>*>(sums.data), static_cast<const T*>(a.data),
                   static_cast<const std::int64_t*>(index.data));
    };
    if constexpr (is_half<T>) {  // sums are float, rounded at the end
      View sums = dst;
      sums.dtype = needle::DType::float32;
      std::int64_t size = 1;
      for (int d = dst.ndim - 1; d >= 0; --d) {
        sums.strides[d] = size;
        size *= dst.shape[d];
      }
      const Scratch scratch(static_cast<std::size_t>(size) * sizeof(float), stream);
      sums.data = scratch.data();
      copy(stream, sums, dst);
      add_to(sums);
      copy(stream, dst, sums);
    } else {
      add_to(dst);
    }
  });
}

void cumsum(const Stream& stream, View dst, View a, int axis, bool reversed) {
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_lanes(cumsum_lanes<T>, stream, make_lanes<2>({dst, a}, axis), static_cast<T*>(dst.data),
                 static_cast<const T*>(a.data), reversed);
  });
}

void arg_reduce(const Stream& stream, needle::ArgOp op, View dst, View a, int axis) {
  needle::visit_floating(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch_lanes(arg_lanes<T>, stream, make_lanes<2>({dst, a}, axis),
                 static_cast<std::int64_t*>(dst.data), static_cast<const T*>(a.data),
                 op == needle::ArgOp::argmax);
  });
}

}  // namespace NEEDLE_NS
