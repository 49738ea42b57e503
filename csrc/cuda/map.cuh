// Map: dst[i] = f(in0[i], in1[i], ...) over arrays of one shape, for elementwise ops, copies and
// fills. After collapsing, one of three kernels serves:
//
// Rows: the output's innermost dimension has no gaps, and inputs are alike there or stand still. A
// thread handles a pack of it. A contiguous array is one row.
// Tiles: an input has no gaps along another dimension than the output. It goes through a tile in
// shared memory, so that both are walked along their rows.
// Strided: a thread handles an element, wherever it lies.
//
// To keep kernels few, f may choose the op at run time in the latter two.
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

template <class T, class A, class F, int M>
void launch_strided(const Stream& stream, F f, const needle::View (&views)[M], T* dst,
                    Inputs<A, M - 1> in) {
  const std::int64_t n = needle::numel(views[0]);
  launch(map_strided<F, T, A, M - 1>, blocks_for(n, kMapThreads), kMapThreads, 0, stream, f,
         static_cast<std::uint32_t>(n), make_nest<M, std::uint32_t>(views), dst, in);
}

// False where the views are no rows of packs.
template <class T, class A, class F, int M>
bool launch_rows(const Stream& stream, F f, const needle::View (&views)[M], T* dst,
                 Inputs<A, M - 1> in) {
  constexpr int size = pack_size<T, A>;
  const int last = views[0].ndim - 1;
  Rows<M - 1> rows{};
  for (int v = 0; v < M; ++v) {
    const bool still = v > 0 && last >= 0 && views[v].strides[last] == 0;
    if (!still && !in_packs(views[v], size)) return false;
    if (still) rows.still |= 1u << (v - 1);
  }
  rows.length = last < 0 ? 1 : views[0].shape[last];
  const std::int64_t per_row = (rows.length + size - 1) / size;
  needle::View outer[M];
  for (int v = 0; v < M; ++v) {
    outer[v] = views[v];
    outer[v].ndim = std::max(last, 0);
  }
  const std::int64_t packs = per_row * needle::numel(outer[0]);
  rows.packs = static_cast<std::uint32_t>(packs);
  rows.per_row = Divisor<std::uint32_t>::of(per_row);
  rows.nest = make_nest<M, std::uint32_t>(outer);
  launch(map_rows<F, T, A, M - 1>, blocks_for(packs, kMapThreads), kMapThreads, 0, stream, f, rows,
         dst, in);
  return true;
}

// False where no input has its rows along another dimension than the output, or not all the same.
template <class T, class A, class F, int M>
bool launch_tiles(const Stream& stream, F f, const needle::View (&views)[M], T* dst,
                  Inputs<A, M - 1> in) {
  constexpr std::int64_t least = kTile / 4;  // smaller dimensions leave most of a tile idle
  const int last = views[0].ndim - 1;
  Tiles<M - 1> tiles{};
  int turned = -1;
  for (int v = 1; v < M; ++v) {
    for (int d = 0; d < last; ++d) {
      if (views[v].strides[d] != 1 || views[v].strides[last] == 0) continue;
      if (turned >= 0 && turned != d) return false;
      turned = d;
      tiles.turned |= 1u << (v - 1);
    }
  }
  if (turned < 0 || views[0].shape[turned] < least || views[0].shape[last] < least) return false;
  tiles.down = views[0].shape[turned];
  tiles.across = views[0].shape[last];
  needle::View outer[M];
  for (int v = 0; v < M; ++v) {
    tiles.step_down[v] = views[v].strides[turned];
    tiles.step_across[v] = views[v].strides[last];
    outer[v] = views[v];
    outer[v].ndim = last - 1;
    for (int d = turned; d < last - 1; ++d) {
      outer[v].shape[d] = views[v].shape[d + 1];
      outer[v].strides[d] = views[v].strides[d + 1];
    }
  }
  const std::int64_t rows = blocks_for(tiles.down, kTile),
                     columns = blocks_for(tiles.across, kTile);
  tiles.tiles_down = Divisor<std::uint32_t>::of(rows);
  tiles.tiles_across = Divisor<std::uint32_t>::of(columns);
  tiles.nest = make_nest<M, std::uint32_t>(outer);
  launch(map_tiles<F, T, A, M - 1>, static_cast<unsigned>(rows * columns * needle::numel(outer[0])),
         dim3(kTile, kTileRows), 0, stream, f, tiles, dst, in);
  return true;
}

// views: the output, of type T, then the inputs, of type A; not empty. Those of up to 2^31 elements
// go to `launcher` as they are, larger ones in halves of their outermost dimension.
template <class T, class A, int M, class Launcher>
void map_pieces(needle::View (&views)[M], const Launcher& launcher) {
  needle::collapse(views, M);
  if (needle::numel(views[0]) <= std::int64_t{1} << 31) {
    Inputs<A, M - 1> in{};
    for (int v = 1; v < M; ++v) in.at[v - 1] = static_cast<const A*>(views[v].data);
    launcher(views, static_cast<T*>(views[0].data), in);
    return;
  }
  constexpr std::int64_t aligned = 64;  // a half that begins there begins a pack
  std::int64_t half = views[0].shape[0] / 2;
  if (half > aligned) half -= half % aligned;
  needle::View second[M];
  for (int v = 0; v < M; ++v) {
    second[v] = views[v];
    second[v].shape[0] -= half;
    views[v].shape[0] = half;
    const std::int64_t item = v == 0 ? sizeof(T) : sizeof(A);
    second[v].data = static_cast<char*>(views[v].data) + half * views[v].strides[0] * item;
  }
  map_pieces<T, A>(views, launcher);
  map_pieces<T, A>(second, launcher);
}

// Rows through f, others through `any`.
template <class T, class A, class F, class G, int M>
void map(const Stream& stream, F f, G any, needle::View (&views)[M]) {
  map_pieces<T, A>(views, [&](const needle::View(&piece)[M], T* dst, Inputs<A, M - 1> in) {
    if (launch_rows(stream, f, piece, dst, in) || launch_tiles(stream, any, piece, dst, in)) return;
    launch_strided(stream, any, piece, dst, in);
  });
}

}  // namespace NEEDLE_NS
