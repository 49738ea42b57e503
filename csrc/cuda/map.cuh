// Map: dst[i] = f(in0[i], in1[i], ...) over arrays of one shape, for elementwise ops, copies and
// fills. After collapsing, the first kernel of map_kernels.cuh that fits the views serves: rows,
// tiles, or strided.
//
// To keep kernels few, f may choose the op at run time in the latter two.
#pragma once

#include <algorithm>

#include "map_kernels.cuh"

namespace NEEDLE_NS {

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

// views: the output, of type T, then the inputs, of type A; not empty. Those of up to kNarrow
// elements go to `launcher` as they are, larger ones in halves of their outermost dimension.
template <class T, class A, int M, class Launcher>
void map_pieces(needle::View (&views)[M], const Launcher& launcher) {
  needle::collapse(views, M);
  if (needle::numel(views[0]) <= kNarrow) {
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
