// The products between the transforms of conv_winograd.h, and when they are allowed: where numbers
// are not finite, or so large that a transform could overflow, the sum over taps is taken, image by
// image, so that an image's result does not depend on the others'. So it is where all weights of a
// tap are 0, as a mask makes them.
#include "conv_winograd.h"

#include "decls.h"
#include "kernels.h"

namespace NEEDLE_NS {

template <class T>
constexpr int64_t kWinogradColumns =
    2 * kTileColumns<T>;  // of the result that are computed at once

// A thread's memory: weights before and after, tiles before and after the products.
template <class T>
struct WinogradMemory {
  int64_t row, columns, tiles;  // elements of a row of V, of M; tiles at once
  T *taps, *u, *v, *m;

  WinogradMemory(int64_t channels, int64_t made) {
    columns = (made + kTileColumns<T> - 1) / kTileColumns<T> * kTileColumns<T>;
    if (columns > kWinogradColumns<T>) columns = kWinogradColumns<T>;
    const int64_t line = 64 / static_cast<int64_t>(sizeof(T));  // rows of one tile meet in no set
    row = (channels + lanes<T> - 1) / lanes<T> * lanes<T> + line;
    tiles = kTileBytes / (kTransformed * row * static_cast<int64_t>(sizeof(T)));
    tiles = tiles < kMostTiles ? tiles / kTileRows * kTileRows : kMostTiles;
    if (tiles < kTileRows) tiles = kTileRows;
    const int64_t weights = channels * columns;
    const int64_t all = (9 + kTransformed) * weights + kTransformed * tiles * (row + columns);
    taps = static_cast<T*>(scratch(all * static_cast<int64_t>(sizeof(T))));
    u = taps + 9 * weights;
    v = u + kTransformed * weights;
    m = v + kTransformed * tiles * row;
  }
};

// U of result channels [from, from + columns).
template <class T>
static void prepare_weights(const Gathered<T>& g, int64_t from, int64_t columns,
                            const WinogradMemory<T>& memory) {
  const int64_t channels = g.source.share, panel = channels * kTileColumns<T>;
  const int64_t block = (columns + kTileColumns<T> - 1) / kTileColumns<T> * panel;
  for (int64_t t = 0; t < 9; ++t) {
    const int64_t tap = g.backward ? 8 - t : t;  // backward, an image turned by half a turn
    const T* source = g.weights + tap * g.tap_stride + from * g.result_stride;
    pack_right(RightBlock<T>{source, g.source_stride, g.result_stride, channels, columns,
                             memory.taps + t * block, panel});
  }
  transform_weights(memory.taps, memory.u, block);
}

// M of `count` tiles from their V, by U.
template <class T>
static void multiply_transformed(const Gathered<T>& g, int64_t columns, int64_t count,
                                 const WinogradMemory<T>& memory) {
  const int64_t channels = g.source.share, panel = channels * kTileColumns<T>;
  const int64_t block = (columns + kTileColumns<T> - 1) / kTileColumns<T> * panel;
  const Segment whole = {0, 0, channels};
  Product<T> product = {};
  product.a_step = 1;
  product.segments = &whole;
  product.segment_count = 1;
  product.b_panel = panel;
  product.b_step = kTileColumns<T>;
  product.c_step = 1;
  product.columns = columns;
  for (int64_t k = 0; k < kTransformed; ++k) {
    product.b = memory.u + k * block;
    for (int64_t i = 0; i < count; i += kTileRows) {
      product.rows = static_cast<int>(count - i < kTileRows ? count - i : kTileRows);
      for (int r = 0; r < product.rows; ++r) {
        const int64_t at = k * memory.tiles + i + r;
        product.a[r] = memory.v + at * memory.row;
        product.c[r] = memory.m + at * memory.columns;
      }
      multiply(product);
    }
  }
}

// One thread's share: of the tiles, and channels [from, to) of the result. False without memory.
template <class T>
static bool multiply_tiles(const Gathered<T>& g, const Share& share) {
  const WinogradMemory<T> memory(g.source.share, share.to - share.from);
  if (memory.taps == nullptr) return false;
  const int64_t all = g.batch * ((g.result.height + 1) / 2) * ((g.result.width + 1) / 2);
  const int64_t begin = cut_at(all, kTileRows, share.parts, share.part);
  const int64_t end = cut_at(all, kTileRows, share.parts, share.part + 1);
  int64_t before[2];
  for (int d = 0; d < 2; ++d) before[d] = g.backward ? 2 - g.p.padding[d] : g.p.padding[d];
  for (int64_t from = share.from; from < share.to; from += memory.columns) {
    const int64_t columns = share.to - from < memory.columns ? share.to - from : memory.columns;
    prepare_weights(g, from, columns, memory);
    for (int64_t first = begin; first < end; first += memory.tiles) {
      const int64_t count = end - first < memory.tiles ? end - first : memory.tiles;
      for (int64_t i = 0; i < count; ++i) {
        transform_source(g, tile_at(g, first + i), before, memory.v + i * memory.row,
                         memory.tiles * memory.row);
      }
      multiply_transformed(g, columns, count, memory);
      for (int64_t i = 0; i < count; ++i) {
        transform_result(g, tile_at(g, first + i), memory.m + i * memory.columns,
                         memory.tiles * memory.columns, from, columns);
      }
    }
  }
  return true;
}

template <class T>
static bool run_winograd(const Gathered<T>& g) {
  const int64_t tiles = g.batch * ((g.result.height + 1) / 2) * ((g.result.width + 1) / 2);
  const int64_t parts = parts_for(static_cast<double>(tiles) * static_cast<double>(g.result.share) *
                                  static_cast<double>(kTransformed * g.source.share));
  const Grid grid = cut_grid(tiles, g.result.share, kTileRows, kTileColumns<T>, parts);
  bool done = true;
  run_tasks(grid.down * grid.across, parts, [&](int64_t i) {
    const int64_t column = i % grid.across;
    const Share share{i / grid.across, grid.down,
                      cut_at(g.result.share, kTileColumns<T>, grid.across, column),
                      cut_at(g.result.share, kTileColumns<T>, grid.across, column + 1)};
    if (!multiply_tiles(g, share)) __atomic_store_n(&done, false, __ATOMIC_RELAXED);
  });
  return done;
}

// The largest magnitude of n numbers; infinite where one is not finite.
template <class T>
static double largest_of(const T* p, int64_t n) {
  using V = vec<T>;
  V most = {}, odd = {};
  const auto look = [&](V v) {
    const V size = v < V{} ? -v : v;
    most = size > most ? size : most;
    odd = odd + (v - v);
  };
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) look(load(p + i));
  if (i < n) look(load_partial(p + i, n - i));
  double result = 0;
  for (int k = 0; k < lanes<T>; ++k) {
    if (!(odd[k] == 0)) return __builtin_inf();
    if (most[k] > result) result = static_cast<double>(most[k]);
  }
  return result;
}

// Whether no intermediate value overflows: |V| <= 4 |x|, |U| <= 9/4 |w|, |M| <= channels |U| |V|,
// and 9 of these make a result.
template <class T>
static bool in_range(const Gathered<T>& g, double x, double w) {
  const double most = sizeof(T) == 4 ? 0x1p127 : 0x1p1023;
  return 4 * x < most && 4 * w < most && x * w * 81 * static_cast<double>(g.source.share) < most;
}

template <class T>
static bool by_winograd(const Gathered<T>& g, void (*otherwise)(const Gathered<T>&)) {
  if (!suits_winograd(g) || needle::direct_convolutions()) return false;
  double w = 0;
  for (int tap = 0; tap < 9; ++tap) {
    const int64_t n = g.source.share * g.result.share;
    const double most = largest_of(g.weights + tap * n, n);
    if (most == 0) return false;  // of a mask: what it hides must not leak through the transforms
    w = most > w ? most : w;
  }
  const int64_t in = g.source.height * g.source.width * g.source.channels;
  const int64_t out = g.result.height * g.result.width * g.result.channels;
  const auto allowed = [&](int64_t n) {
    return in_range(g, largest_of(g.source.data + n * in, in), w);
  };
  bool all = true;
  run_tasks(g.batch, parts_for(static_cast<double>(g.batch * in)), [&](int64_t n) {
    if (!allowed(n)) __atomic_store_n(&all, false, __ATOMIC_RELAXED);
  });
  if (all) return run_winograd(g);
  for (int64_t n = 0; n < g.batch; ++n) {
    Gathered<T> one = g;
    one.batch = 1;
    one.source.data += n * in;
    one.result.data += n * out;
    if (!allowed(n) || !run_winograd(one)) otherwise(one);
  }
  return true;
}

bool conv_by_winograd(const Gathered<float>& g, void (*otherwise)(const Gathered<float>&)) {
  return by_winograd(g, otherwise);
}
bool conv_by_winograd(const Gathered<double>& g, void (*otherwise)(const Gathered<double>&)) {
  return by_winograd(g, otherwise);
}

}  // namespace NEEDLE_NS
