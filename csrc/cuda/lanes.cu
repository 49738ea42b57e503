// What needs the order of elements along an axis, or their places: scatter_add, argmax and argmin.
// The order is fixed and needs no atomics.
#include "kernels.h"
#include "lanes.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

// A thread walks a lane from one end to the other.
template <class T>
__global__ void __launch_bounds__(kLaneThreads)
    scatter_lanes(const __grid_constant__ Lanes<3> lanes, Compute<T>* dst,
                  const std::int64_t* index, const T* a) {
  const std::uint64_t lane = std::uint64_t{blockIdx.x} * kLaneThreads + threadIdx.x;
  if (lane >= lanes.tasks()) return;
  const auto at = lanes.starts.at(lane);
  for (std::int64_t first = 0; first < lanes.length; first += kLaneAhead) {
    std::int64_t place[kLaneAhead]{};
    T x[kLaneAhead]{};
    for (int k = 0; k < kLaneAhead; ++k) {
      if (first + k >= lanes.length) break;
      place[k] = index[at.of[1] + (first + k) * lanes.step[1]];
      x[k] = a[at.of[2] + (first + k) * lanes.step[2]];
    }
    for (int k = 0; k < kLaneAhead; ++k) {
      if (first + k >= lanes.length) break;
      dst[at.of[0] + place[k] * lanes.step[0]] += widen(x[k]);
    }
  }
}

// An element and its place; none while the place is negative.
template <class T>
struct Candidate {
  T value;
  std::int64_t place;

  // The larger or smaller, a NaN before all others, the first among equals.
  NEEDLE_HD void challenge(T x, std::int64_t where, bool largest) {
    const bool better = largest ? x > value : x < value;
    const bool worse = largest ? value > x : value < x;
    const bool nan = x != x, held_nan = value != value;
    const bool tied = nan == held_nan && !better && !worse;
    if (place < 0 || better || (nan && !held_nan) || (tied && where < place)) *this = {x, where};
  }
};

// The best of each task; the places of a's elements are those of an array of its layout, if given.
template <class T>
__global__ void __launch_bounds__(kLaneThreads)
    arg_tasks(const __grid_constant__ Lanes<2> lanes, std::int64_t* dst, Compute<T>* values,
              const T* a, const std::int64_t* places, bool largest) {
  const unsigned together = lanes.warps ? kLaneWarp : 1;
  const std::uint64_t task = (std::uint64_t{blockIdx.x} * kLaneThreads + threadIdx.x) / together;
  if (task >= lanes.tasks()) return;
  const unsigned thread = threadIdx.x % together;
  const std::uint64_t slice = task / lanes.count;
  const auto at = lanes.starts.at(task % lanes.count);
  const std::int64_t end = lanes.end(slice), step = together;
  Candidate<Compute<T>> best{{}, -1};
  for (std::int64_t first = lanes.begin(slice) + thread; first < end; first += kLaneAhead * step) {
    T x[kLaneAhead]{};
    for (int k = 0; k < kLaneAhead; ++k) {
      if (first + k * step < end) x[k] = a[at.of[1] + (first + k * step) * lanes.step[1]];
    }
    for (int k = 0; k < kLaneAhead; ++k) {
      const std::int64_t i = first + k * step;
      if (i >= end) break;
      best.challenge(widen(x[k]), places ? places[at.of[1] + i * lanes.step[1]] : i, largest);
    }
  }
  if (lanes.warps) {
    for (unsigned d = kLaneWarp / 2; d > 0; d /= 2) {
      const Compute<T> value = __shfl_down_sync(~0u, best.value, d);
      const std::int64_t place = __shfl_down_sync(~0u, best.place, d);
      if (place >= 0) best.challenge(value, place, largest);
    }
  }
  if (thread != 0) return;
  const std::int64_t out = at.of[0] + static_cast<std::int64_t>(slice) * lanes.step[0];
  dst[out] = best.place;
  if (values) values[out] = best.value;
}

template <class T>
void arg_typed(const Stream& stream, const View& dst, const View& a, const std::int64_t* places,
               int axis, bool largest) {
  const Lanes<2> lanes = make_lanes<2>({dst, a}, axis, 0);
  const auto* elements = static_cast<const T*>(a.data);
  if (lanes.slices == 1) {
    launch_lanes(arg_tasks<T>, stream, lanes, static_cast<std::int64_t*>(dst.data),
                 static_cast<Compute<T>*>(nullptr), elements, places, largest);
    return;
  }
  // The best of each slice, then the best of these.
  View slices = a;
  slices.shape[axis] = static_cast<std::int64_t>(lanes.slices);
  const auto count = static_cast<std::size_t>(needle::numel(slices));
  const Scratch part_places(count * sizeof(std::int64_t), stream);
  const Scratch part_values(count * sizeof(Compute<T>), stream);
  const View parts = computed_like(slices, part_values.data());
  auto* found = static_cast<std::int64_t*>(part_places.data());
  launch_lanes(arg_tasks<T>, stream, make_lanes<2>({parts, a}, axis, lanes.slices), found,
               static_cast<Compute<T>*>(part_values.data()), elements, places, largest);
  arg_typed<Compute<T>>(stream, dst, parts, found, axis, largest);
}

}  // namespace

void scatter_add(const Stream& stream, View dst, View a, View index, int axis) {
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto add_to = [&](const View& sums) {
      Lanes<3> lanes = make_lanes<3>({sums, index, a}, axis, 1);
      lanes.warps = false;
      launch_lanes(scatter_lanes<T>, stream, lanes, static_cast<Compute<T>*>(sums.data),
                   static_cast<const std::int64_t*>(index.data), static_cast<const T*>(a.data));
    };
    if constexpr (is_half<T>) {  // sums are float, rounded at the end
      const Scratch scratch(static_cast<std::size_t>(needle::numel(dst)) * sizeof(float), stream);
      const View sums = computed_like(dst, scratch.data());
      copy(stream, sums, dst);
      add_to(sums);
      copy(stream, dst, sums);
    } else {
      add_to(dst);
    }
  });
}

void arg_reduce(const Stream& stream, needle::ArgOp op, View dst, View a, int axis) {
  needle::visit_floating(a.dtype, [&](auto zero) {
    arg_typed<decltype(zero)>(stream, dst, a, nullptr, axis, op == needle::ArgOp::argmax);
  });
}

}  // namespace NEEDLE_NS
