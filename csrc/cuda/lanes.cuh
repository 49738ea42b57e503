// Lanes: what lies along one axis at one index of the others, in slices where lanes are few.
#pragma once

#include <algorithm>

#include "launch.cuh"
#include "nest.cuh"

namespace NEEDLE_NS {

constexpr unsigned kLaneThreads = 128;
constexpr unsigned kLaneWarp = 32;
constexpr int kLaneAhead = 4;  // elements that a thread loads before it works on the first
constexpr std::int64_t kLaneTasks =
    4096;  // warps that keep a GPU busy; of threads 16 times as many
constexpr std::int64_t kLaneSlice = 1024;  // elements of a slice, at least; for threads a quarter

// N arrays by lane: where each lane starts, and the arrays' strides along it. A slice holds the
// elements from its number times `slice` on. A task, a slice of a lane, is a warp's where
// neighbouring elements of the last array lie closer than neighbouring lanes, else a thread's.
template <int N>
struct Lanes {
  Nest<N, std::uint64_t> starts;
  std::uint64_t count, slices;
  std::int64_t length, slice;
  std::int64_t step[N];
  bool warps;

  NEEDLE_HD std::uint64_t tasks() const { return count * slices; }
  NEEDLE_HD std::int64_t begin(std::uint64_t s) const {
    return static_cast<std::int64_t>(s) * slice;
  }
  NEEDLE_HD std::int64_t end(std::uint64_t s) const {
    return length - begin(s) < slice ? length : begin(s) + slice;
  }
};

// The last view has the lanes' length. slices: into how many to cut them; 0: as the work asks for.
template <int N>
Lanes<N> make_lanes(const needle::View (&views)[N], int axis, std::uint64_t slices) {
  Lanes<N> lanes{};
  needle::View starts[N];
  for (int k = 0; k < N; ++k) {
    starts[k] = views[k];
    starts[k].shape[axis] = 1;
    lanes.step[k] = views[k].strides[axis];
  }
  needle::collapse(starts, N);
  const needle::View& last = starts[N - 1];
  const auto size = [](std::int64_t stride) { return stride < 0 ? -stride : stride; };
  lanes.warps = last.ndim == 0 || size(lanes.step[N - 1]) <= size(last.strides[last.ndim - 1]);
  const std::int64_t count = needle::numel(last);
  lanes.count = static_cast<std::uint64_t>(count);
  lanes.starts = make_nest<N, std::uint64_t>(starts);
  lanes.length = views[N - 1].shape[axis];
  const std::int64_t tasks = kLaneTasks * (lanes.warps ? 1 : 16);
  const std::int64_t least = kLaneSlice / (lanes.warps ? 1 : 4);
  const std::int64_t wanted =
      slices > 0 ? static_cast<std::int64_t>(slices)
                 : std::max(std::min(lanes.length / least, tasks / count), std::int64_t{1});
  lanes.slice = std::max((lanes.length + wanted - 1) / wanted, std::int64_t{1});
  lanes.slices = static_cast<std::uint64_t>(
      std::max((lanes.length + lanes.slice - 1) / lanes.slice, std::int64_t{1}));
  return lanes;
}

template <int N, class... Params, class... Args>
void launch_lanes(void (*kernel)(Lanes<N>, Params...), const Stream& stream, const Lanes<N>& lanes,
                  Args... args) {
  const auto tasks = static_cast<std::int64_t>(lanes.tasks());
  launch(kernel, blocks_for(tasks, kLaneThreads / (lanes.warps ? kLaneWarp : 1)), kLaneThreads, 0,
         stream, lanes, args...);
}

}  // namespace NEEDLE_NS
