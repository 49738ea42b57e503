// 3 x 3 convolutions of stride 1, and their gradient with respect to the input, by Winograd's
// F(2 x 2, 3 x 3): 16 products where the sum over taps takes 36. A tile of 2 x 2 pixels of the
// result is
//
//   A^T [ sum over channels of (G g G^T) * (B^T d B) ] A
//
// of the 4 x 4 source pixels d that it sees and the taps g, where * is by element: 16 independent
// products of matrices, tiles x channels times channels x result channels (gemm_block.h).
//
// Shapes: U (16, channels, columns) packed, V (16, tiles, channels), M (16, tiles, columns), for as
// many tiles as keep V in L2. An element's sum has one order wherever its tile lies.
// Error: at most (channels + 10) u times the same with absolute values of all, A, B and G included.
// Source: Lavin and Gray, "Fast algorithms for convolutional neural networks" (2015); Winograd,
// 1980.
#pragma once

#include "conv_gather.h"
#include "gemm_parallel.h"

namespace NEEDLE_NS {

constexpr int64_t kTransformed = 16;  // of a tile of 4 x 4
constexpr int64_t kTileBytes = 768 * 1024, kMostTiles = 8 * kTileRows;
constexpr int64_t kWinogradImage = 8, kWinogradChannels = 32;  // below, the sum over taps wins

template <class T>
static bool suits_winograd(const Gathered<T>& g) {
  for (int d = 0; d < 2; ++d) {
    if (g.p.stride[d] != 1 || g.p.dilation[d] != 1 || g.p.padding[d] > 2) return false;
  }
  return g.kernel_height == 3 && g.kernel_width == 3 && g.groups == 1 &&
         g.result.height >= kWinogradImage && g.result.width >= kWinogradImage &&
         g.result.share >= kWinogradChannels && g.source.share >= kWinogradChannels;
}

// Rows of 4 of d, one after another, by B^T: (d0 - d2, d1 + d2, d2 - d1, d1 - d3).
template <class V>
NEEDLE_INLINE void by_input(V& a, V& b, V& c, V& d) {
  const V first = a - c, second = b + c, third = c - b, fourth = b - d;
  a = first, b = second, c = third, d = fourth;
}

// Of taps by G: (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2).
template <class V>
NEEDLE_INLINE void by_taps(const V& a, const V& b, const V& c, V* to, int step) {
  const V half = broadcast<V>(static_cast<scalar_of<V>>(0.5));
  const V outer = (a + c) * half, inner = b * half;
  to[0] = a, to[step] = outer + inner, to[2 * step] = outer - inner, to[3 * step] = c;
}

// U from the taps' weights: both as B blocks of the same shape, n elements each.
template <class T>
static void transform_weights(const T* taps, T* u, int64_t n) {
  using V = vec<T>;
  for (int64_t i = 0; i < n; i += lanes<T>) {
    V rows[4][3], all[4][4];
    for (int x = 0; x < 3; ++x) {
      V column[4];
      by_taps(load(taps + x * n + i), load(taps + (3 + x) * n + i), load(taps + (6 + x) * n + i),
              column, 1);
      for (int y = 0; y < 4; ++y) rows[y][x] = column[y];
    }
    for (int y = 0; y < 4; ++y) by_taps(rows[y][0], rows[y][1], rows[y][2], all[y], 1);
    for (int k = 0; k < kTransformed; ++k) store(u + k * n + i, all[k / 4][k % 4]);
  }
}

// Where a tile lies: its image, and its first pixel of the result.
struct WinogradTile {
  int64_t image, y, x;
};

template <class T>
static WinogradTile tile_at(const Gathered<T>& g, int64_t index) {
  const int64_t across = (g.result.width + 1) / 2, down = (g.result.height + 1) / 2;
  return {index / across / down, index / across % down * 2, index % across * 2};
}

// V of one tile: 16 rows of channels, `apart` from each other. before: how many pixels the source
// is padded by.
template <class T>
static void transform_source(const Gathered<T>& g, const WinogradTile& tile,
                             const int64_t (&before)[2], T* v, int64_t apart) {
  using V = vec<T>;
  const Image<const T>& s = g.source;
  const T* from[4][4];
  for (int64_t y = 0; y < 4; ++y) {
    for (int64_t x = 0; x < 4; ++x) {
      const int64_t sy = tile.y + y - before[0], sx = tile.x + x - before[1];
      const bool inside = sy >= 0 && sy < s.height && sx >= 0 && sx < s.width;
      from[y][x] =
          inside ? s.data + ((tile.image * s.height + sy) * s.width + sx) * s.channels : nullptr;
    }
  }
  for (int64_t c = 0; c < s.share; c += lanes<T>) {
    const int64_t left = s.share - c;
    V d[4][4];
    for (int y = 0; y < 4; ++y) {
      for (int x = 0; x < 4; ++x) {
        const T* const p = from[y][x];
        d[y][x] = p == nullptr ? V{} : left >= lanes<T> ? load(p + c) : load_partial(p + c, left);
      }
      by_input(d[y][0], d[y][1], d[y][2], d[y][3]);
    }
    for (int x = 0; x < 4; ++x) by_input(d[0][x], d[1][x], d[2][x], d[3][x]);
    for (int k = 0; k < kTransformed; ++k) store(v + k * apart + c, d[k / 4][k % 4]);
  }
}

// The pixels of one tile from its M, 16 rows of columns: A^T m A with
// A^T = ((1, 1, 1, 0), (0, 1, -1, -1)).
template <class T>
static void transform_result(const Gathered<T>& g, const WinogradTile& tile, const T* m,
                             int64_t apart, int64_t first, int64_t columns) {
  using V = vec<T>;
  const Image<T>& r = g.result;
  for (int64_t c = 0; c < columns; c += lanes<T>) {
    const int64_t n = columns - c < lanes<T> ? columns - c : lanes<T>;
    V rows[2][4];
    for (int x = 0; x < 4; ++x) {
      const auto at = [&](int y) { return load(m + (y * 4 + x) * apart + c); };
      const V middle = at(1), third = at(2);
      rows[0][x] = at(0) + (middle + third);
      rows[1][x] = (middle - third) - at(3);
    }
    for (int y = 0; y < 2; ++y) {
      const V* const a = rows[y];
      const V pixels[2] = {a[0] + (a[1] + a[2]), (a[1] - a[2]) - a[3]};
      for (int x = 0; x < 2; ++x) {
        if (tile.y + y >= r.height || tile.x + x >= r.width) continue;
        T* const to = r.data +
                      ((tile.image * r.height + tile.y + y) * r.width + tile.x + x) * r.channels +
                      first + c;
        n == lanes<T> ? store(to, pixels[x]) : store_partial(to, pixels[x], n);
      }
    }
  }
}

}  // namespace NEEDLE_NS
