// The three kernels of a map (map.cuh): dst[i] = f(in0[i], in1[i], ...) over arrays of one shape.
//
// Rows: the output's innermost dimension has no gaps, and inputs are alike there or stand still. A
// thread handles a pack of it. A contiguous array is one row.
// Tiles: an input has no gaps along another dimension than the output. It goes through a tile in
// shared memory, so that both are walked along their rows.
// Strided: a thread handles an element, wherever it lies.
#pragma once

#include <algorithm>

#include "launch.cuh"
#include "nest.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {

constexpr int kMapThreads = 256;
constexpr int kMapBlocks =
    4;  // per multiprocessor at least: up to 64 registers, which no formula exceeds
constexpr unsigned kTile = 32;
constexpr unsigned kTileRows = kMapThreads / kTile;  // of a tile that are handled at once

// Elements of a pack: 16 bytes of what is computed in.
template <class T, class A>
constexpr int pack_size = 16 / static_cast<int>(std::max(sizeof(Compute<T>), sizeof(Compute<A>)));

// N input arrays of type A.
template <class A, int N>
struct Inputs {
  const A* at[N > 0 ? N : 1];
};

// f of what get(0), get(1), ... give.
template <int N, class F, class Get>
__device__ auto call(const F& f, const Get& get) {
  static_assert(N <= 2);
  if constexpr (N == 0) {
    return f();
  } else if constexpr (N == 1) {
    return f(get(0));
  } else {
    return f(get(0), get(1));
  }
}

// Where rows lie: the nest walks the dimensions outside of them. Bit k of `still`: input k repeats
// one element along a row.
template <int N>
struct Rows {
  std::uint32_t packs;             // of all rows
  Divisor<std::uint32_t> per_row;  // packs of a row; the last may be shorter
  std::int64_t length;
  unsigned still;
  Nest<1 + N, std::uint32_t> nest;
};

template <class F, class T, class A, int N>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    map_rows(F f, const __grid_constant__ Rows<N> rows, T* __restrict__ dst, Inputs<A, N> in) {
  constexpr int size = pack_size<T, A>;
  const std::uint32_t i = blockIdx.x * kMapThreads + threadIdx.x;
  if (i >= rows.packs) return;
  const std::uint32_t row = rows.per_row.quotient(i);
  const std::int64_t first = std::int64_t{i - row * rows.per_row.value} * size;
  const auto at = rows.nest.at(row);
  dst += at.of[0] + first;
  for (int k = 0; k < N; ++k) in.at[k] += at.of[k + 1] + (rows.still >> k & 1u ? 0 : first);
  if (first + size <= rows.length) {
    Pack<A, size> loaded[N > 0 ? N : 1];
    for (int k = 0; k < N; ++k) {
      if (rows.still >> k & 1u) {
        const A repeated = *in.at[k];
        for (int j = 0; j < size; ++j) loaded[k].at[j] = repeated;
      } else {
        loaded[k] = load_pack<size>(in.at[k]);
      }
    }
    Pack<T, size> out;
    for (int j = 0; j < size; ++j) {
      out.at[j] = call<N>(f, [&](int k) -> const A& { return loaded[k].at[j]; });
    }
    *reinterpret_cast<Pack<T, size>*>(dst) = out;
  } else {
#pragma unroll 1
    for (int j = 0; j < rows.length - first; ++j) {
      dst[j] =
          call<N>(f, [&](int k) -> const A& { return in.at[k][rows.still >> k & 1u ? 0 : j]; });
    }
  }
}

// Tiles of the output's innermost dimension (across, gap-free) and of the one in which the inputs
// of `turned` have no gaps (down); the nest walks the others.
template <int N>
struct Tiles {
  std::int64_t down, across;
  std::int64_t step_down[1 + N], step_across[1 + N];
  Divisor<std::uint32_t> tiles_down, tiles_across;
  unsigned turned;
  Nest<1 + N, std::uint32_t> nest;
};

template <class A, int N>
struct TileElements {
  A of[N > 0 ? N : 1][kTile][kTile + 1];  // input, across, down; a column more against conflicts
};

template <class F, class T, class A, int N>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    map_tiles(F f, const __grid_constant__ Tiles<N> tiles, T* __restrict__ dst, Inputs<A, N> in) {
  TileElements<A, N>& tile = shared<TileElements<A, N>>();
  const std::uint32_t column = tiles.tiles_across.quotient(blockIdx.x);
  const std::uint32_t outer = tiles.tiles_down.quotient(column);
  const std::int64_t across = std::int64_t{blockIdx.x - column * tiles.tiles_across.value} * kTile;
  const std::int64_t down = std::int64_t{column - outer * tiles.tiles_down.value} * kTile;
  const auto at = tiles.nest.at(outer);
  const auto offset = [&](int k, std::int64_t i, std::int64_t j) {
    return at.of[k] + i * tiles.step_down[k] + j * tiles.step_across[k];
  };
  // All elements are on their way before the first is stored.
  for (int k = 0; k < N; ++k) {
    const bool turned = (tiles.turned >> k & 1u) != 0;
    const unsigned x = threadIdx.x;
    A loaded[kTile / kTileRows]{};
    for (unsigned r = 0; r < kTile / kTileRows; ++r) {
      const unsigned y = threadIdx.y + r * kTileRows;
      const std::int64_t i = down + (turned ? x : y), j = across + (turned ? y : x);
      if (i < tiles.down && j < tiles.across) loaded[r] = in.at[k][offset(k + 1, i, j)];
    }
    for (unsigned r = 0; r < kTile / kTileRows; ++r) {
      const unsigned y = threadIdx.y + r * kTileRows;
      tile.of[k][turned ? y : x][turned ? x : y] = loaded[r];
    }
  }
  __syncthreads();
  const std::int64_t j = across + threadIdx.x;
#pragma unroll 1  // f may hold all formulas
  for (unsigned y = threadIdx.y; y < kTile; y += kTileRows) {
    const std::int64_t i = down + y;
    if (i >= tiles.down || j >= tiles.across) continue;
    dst[offset(0, i, j)] =
        call<N>(f, [&](int k) -> const A& { return tile.of[k][threadIdx.x][y]; });
  }
}

template <class F, class T, class A, int N>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    map_strided(F f, std::uint32_t n, const __grid_constant__ Nest<1 + N, std::uint32_t> nest,
                T* __restrict__ dst, Inputs<A, N> in) {
  const std::uint32_t i = blockIdx.x * kMapThreads + threadIdx.x;
  if (i >= n) return;
  const auto at = nest.at(i);
  dst[at.of[0]] = call<N>(f, [&](int k) -> const A& { return in.at[k][at.of[k + 1]]; });
}

}  // namespace NEEDLE_NS
