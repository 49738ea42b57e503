// Rows of compact arrays, folded and mapped: a kernel over rows is a body that a team of threads
// runs for each row.
//
//   - along (a row's elements are neighbours): a power of two of threads, neighbours in x; 16 bytes
//     a load where rows begin and end at such
//   - beside (elements of different rows are neighbours): x counts rows, the threads of one row are
//     apart in y
//
// A team's sums meet in shuffles and in shared memory, in an order that follows from the shape.
#pragma once

#include "../core/row_layout.h"
#include "launch.cuh"
#include "maths.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {

constexpr unsigned kRowWarp = 32;
constexpr unsigned kRowThreads = 256, kMostRowThreads = 1024;  // of a block; of one with one row
constexpr std::int64_t kLongRow = 8192;                        // from here on, the most

struct RowsOnDevice {
  std::int64_t count, length;
  int n_kept, n_reduced;
  needle::RowLayout::Axis kept[needle::kMaxDims], reduced[needle::kMaxDims];
};

// Where element `number` of some axes lies; 32 bits where they suffice: division is what it costs.
__device__ inline std::int64_t offset_of(const needle::RowLayout::Axis* axes, int n,
                                         std::uint64_t number) {
  std::int64_t offset = 0;
  for (int d = n - 1; d > 0; --d) {
    const auto size = static_cast<std::uint64_t>(axes[d].size);
    const std::uint64_t rest = (number | size) >> 32 == 0 ? static_cast<std::uint32_t>(number) /
                                                                static_cast<std::uint32_t>(size)
                                                          : number / size;
    offset += static_cast<std::int64_t>(number - rest * size) * axes[d].stride;
    number = rest;
  }
  return n > 0 ? offset + static_cast<std::int64_t>(number) * axes[0].stride : 0;
}

template <class T>
struct RowPartials {
  T of[kMostRowThreads];
};

// P elements a load; Beside as above. Every thread of a block calls fold alike, those beyond the
// last row too, whose rows are empty, and whose index is the first row's: what is read of it is
// there.
template <int P, bool Beside>
class Team {
 public:
  __device__ explicit Team(const RowsOnDevice& rows) : rows_(rows) {
    const std::int64_t index = std::int64_t{blockIdx.x} * (Beside ? blockDim.x : blockDim.y) +
                               (Beside ? threadIdx.x : threadIdx.y);
    if (index >= rows.count) return;
    index_ = index;
    at_ = offset_of(rows.kept, rows.n_kept, static_cast<std::uint64_t>(index_));
    length_ = rows.length;
  }

  // f(elements of in...) folded by Op: in every thread of the team.
  template <class Op, class F, class T, class... In>
  __device__ Compute<T> fold(const F& f, const T* first, const In*... in) const {
    auto value = static_cast<Compute<T>>(Op::identity());
    each([&](std::int64_t at) {
      const Pack<T, P> x = load_pack<P>(first + at);
      if constexpr (sizeof...(In) == 0) {
        for (int i = 0; i < P; ++i) value = Op::combine(value, f(widen(x.at[i])));
      } else {
        const Pack<T, P> more[] = {load_pack<P>(in + at)...};
        for (int i = 0; i < P; ++i) value = Op::combine(value, call(f, x, more, i, in...));
      }
    });
    return together<Op>(value);
  }

  // to = f(elements of in...)
  template <class F, class T, class... In>
  __device__ void map(T* to, const F& f, const T* first, const In*... in) const {
    each([&](std::int64_t at) {
      const Pack<T, P> x = load_pack<P>(first + at);
      Pack<T, P> y;
      if constexpr (sizeof...(In) == 0) {
        for (int i = 0; i < P; ++i) y.at[i] = narrow<T>(f(widen(x.at[i])));
      } else {
        const Pack<T, P> more[] = {load_pack<P>(in + at)...};
        for (int i = 0; i < P; ++i) y.at[i] = narrow<T>(call(f, x, more, i, in...));
      }
      *reinterpret_cast<Pack<T, P>*>(to + at) = y;
    });
  }

  // An array of one element for each place in a row, for map and fold; of rows along the last axes.
  template <class T>
  __device__ const T* places(const T* p) const {
    return p - at_;
  }

  // A statistic to an array of one element for each row.
  template <class T>
  __device__ void put(T* of_rows, Compute<T> value) const {
    if (length_ > 0 && thread() == 0) of_rows[index_] = narrow<T>(value);
  }
  __device__ std::int64_t index() const { return index_; }

 private:
  __device__ static unsigned thread() { return Beside ? threadIdx.y : threadIdx.x; }
  __device__ static unsigned threads() { return Beside ? blockDim.y : blockDim.x; }

  template <class F, class T, class... In>
  __device__ static auto call(const F& f, const Pack<T, P>& x, const Pack<T, P>* more, int i,
                              const In*...) {
    static_assert(sizeof...(In) <= 3);
    if constexpr (sizeof...(In) == 1) {
      return f(widen(x.at[i]), widen(more[0].at[i]));
    } else if constexpr (sizeof...(In) == 2) {
      return f(widen(x.at[i]), widen(more[0].at[i]), widen(more[1].at[i]));
    } else {
      return f(widen(x.at[i]), widen(more[0].at[i]), widen(more[1].at[i]), widen(more[2].at[i]));
    }
  }

  // Calls f with the place of each of this thread's packs.
  template <class F>
  __device__ void each(const F& f) const {
    for (std::int64_t j = std::int64_t{thread()} * P; j < length_;
         j += std::int64_t{threads()} * P) {
      f(at_ + offset_of(rows_.reduced, rows_.n_reduced, static_cast<std::uint64_t>(j)));
    }
  }

  template <class Op, class T>
  __device__ T together(T value) const {
    if constexpr (Beside) {
      T* all = shared<RowPartials<T>>().of;
      all[threadIdx.y * blockDim.x + threadIdx.x] = value;
      __syncthreads();
      value = all[threadIdx.x];
      for (unsigned y = 1; y < blockDim.y; ++y) {
        value = Op::combine(value, all[y * blockDim.x + threadIdx.x]);
      }
      __syncthreads();
    } else {
      const unsigned lanes = blockDim.x < kRowWarp ? blockDim.x : kRowWarp;
      for (unsigned d = lanes / 2; d > 0; d /= 2) {
        value = Op::combine(value, __shfl_xor_sync(~0u, value, static_cast<int>(d)));
      }
      if (blockDim.x > kRowWarp) {
        const unsigned warps = blockDim.x / kRowWarp;
        T* all = shared<RowPartials<T>>().of + threadIdx.y * warps;
        if (threadIdx.x % kRowWarp == 0) all[threadIdx.x / kRowWarp] = value;
        __syncthreads();
        value = all[0];
        for (unsigned w = 1; w < warps; ++w) value = Op::combine(value, all[w]);
        __syncthreads();
      }
    }
    return value;
  }

  const RowsOnDevice& rows_;
  std::int64_t index_ = 0, at_ = 0, length_ = 0;
};

template <int P, bool Beside, class Body>
__global__ void __launch_bounds__(kMostRowThreads)
    over_rows(const __grid_constant__ RowsOnDevice rows, const __grid_constant__ Body body) {
  body(Team<P, Beside>(rows));
}

inline unsigned row_power_of_two(std::int64_t n, unsigned most) {
  unsigned p = 1;
  while (p < n && p < most) p *= 2;
  return p;
}

// Runs body(team) for every row of arrays of T. aligned: whether all of them begin at 16 bytes.
template <class T, class Body>
void for_all_rows(const Stream& stream, const needle::RowLayout& layout, bool aligned,
                  const Body& body) {
  constexpr int pack = 16 / sizeof(T);
  RowsOnDevice rows{layout.count, layout.length, layout.n_kept, layout.n_reduced, {}, {}};
  std::copy(layout.kept, layout.kept + layout.n_kept, rows.kept);
  std::copy(layout.reduced, layout.reduced + layout.n_reduced, rows.reduced);
  if (layout.beside > 1) {
    const unsigned x = row_power_of_two(layout.beside, kRowWarp);
    const unsigned y = row_power_of_two(layout.length, kRowThreads / x);
    return launch(over_rows<1, true, Body>, blocks_for(layout.count, x), dim3(x, y), 0, stream,
                  rows, body);
  }
  const bool packed = aligned && layout.reduced[layout.n_reduced - 1].size % pack == 0;
  const std::int64_t steps = packed ? layout.length / pack : layout.length;
  const unsigned x =
      row_power_of_two(steps, layout.length < kLongRow ? kRowThreads : kMostRowThreads);
  const unsigned y = x >= kRowThreads
                         ? 1
                         : std::max(kRowWarp / x, row_power_of_two(layout.count, kRowThreads / x));
  if (packed) {
    launch(over_rows<pack, false, Body>, blocks_for(layout.count, y), dim3(x, y), 0, stream, rows,
           body);
  } else {
    launch(over_rows<1, false, Body>, blocks_for(layout.count, y), dim3(x, y), 0, stream, rows,
           body);
  }
}

template <class... Views>
bool aligned_rows(const Views&... views) {
  return ((reinterpret_cast<std::uintptr_t>(views.data) % 16 == 0) && ...);
}

}  // namespace NEEDLE_NS
