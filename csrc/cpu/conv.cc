// conv2d and its gradient with respect to the input, as products of gathered rows (gemm_block.h).
//
// A row of C is a pixel of the result, its K is (valid tap, source channel), B is the weights of
// those taps:
//   forward:  y[n, oh, ow, :]  = sum over taps of x[n, oh * s - p + kh * d, ...] w[kh, kw]
//   backward: dx[n, h, w, :]   = sum over taps of dy[n, (h + p - kh * d) / s, ...] w[kh, kw]^T
// Pixels are grouped by their set of valid taps (conv_axis.h), so padding is never read nor
// multiplied, and all pixels of a group share the offsets at which their taps lie: nothing is
// copied into patches.
//
// Order of an element's sum: taps by kh, then kw, then channels, in blocks of kDepth of all taps'
// channels.
#include "conv_gather.h"
#include "decls.h"
#include "gemm_parallel.h"

namespace NEEDLE_NS {

// One K block for one thread's share of the pixels of a group (rows x columns of every image).
// `product` holds the B block and the segments; `first` is where the group's channels start.
template <class T>
static void multiply_pixels(Product<T>& product, const Gathered<T>& g, const Axis& ys,
                            const Run& rows, const Axis& xs, const Run& columns, const Share& share,
                            const T* source, T* result, T* left) {
  const int64_t height = rows.to - rows.from, width = columns.to - columns.from;
  const int64_t pixels = g.batch * height * width;
  const int64_t begin = cut_at(pixels, kTileRows, share.parts, share.part);
  const int64_t count = cut_at(pixels, kTileRows, share.parts, share.part + 1) - begin;
  if (count == 0) return;
  const Segment* const segments = product.segments;
  const int64_t segment_count = product.segment_count;
  int64_t depth = 0;
  for (int64_t s = 0; s < segment_count; ++s) depth += segments[s].length;
  const bool worth = product.columns > 2 * kTileColumns<T>;
  const int64_t pixel_bytes = xs.source_step * g.source.channels * static_cast<int64_t>(sizeof(T));
  const bool packs = depth < 8 * segment_count || (worth && rows_collide(pixel_bytes));
  Segment packed[kDepth];
  int64_t x = begin % width, y = begin / width % height, n = begin / width / height;
  const int64_t panels = (count + kTileRows - 1) / kTileRows;
  for (int64_t i = 0; i < panels; ++i) {
    product.rows = static_cast<int>(cut_at(count, 1, panels, i + 1) - cut_at(count, 1, panels, i));
    for (int r = 0; r < product.rows; ++r) {
      const int64_t jy = rows.from + y, jx = columns.from + x;
      const int64_t sy = ys.source + jy * ys.source_step + rows.low * ys.source_tap;
      const int64_t sx = xs.source + jx * xs.source_step + columns.low * xs.source_tap;
      product.a[r] =
          source + ((n * g.source.height + sy) * g.source.width + sx) * g.source.channels;
      const int64_t ry = ys.first + jy * ys.step, rx = xs.first + jx * xs.step;
      product.c[r] =
          result + ((n * g.result.height + ry) * g.result.width + rx) * g.result.channels;
      if (++x == width) {
        x = 0;
        if (++y == height) {
          y = 0;
          ++n;
        }
      }
    }
    product.a_step = 1;
    product.segments = segments;
    product.segment_count = segment_count;
    if (packs) pack_left(product, 1, left, packed);
    multiply(product);
  }
}

// Pixels that no tap reaches.
template <class T>
static void clear_pixels(const Gathered<T>& g, const Axis& ys, const Run& rows, const Axis& xs,
                         const Run& columns, const Share& share, int64_t channel) {
  const int64_t height = rows.to - rows.from, width = columns.to - columns.from;
  const int64_t pixels = g.batch * height * width;
  const int64_t begin = cut_at(pixels, kTileRows, share.parts, share.part);
  const int64_t end = cut_at(pixels, kTileRows, share.parts, share.part + 1);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t y = ys.first + (rows.from + i / width % height) * ys.step;
    const int64_t x = xs.first + (columns.from + i % width) * xs.step;
    T* const pixel =
        g.result.data +
        ((i / width / height * g.result.height + y) * g.result.width + x) * g.result.channels;
    for (int64_t c = share.from; c < share.to; ++c) pixel[channel + c] = 0;
  }
}

// Every group of pixels below the B block of K block [k0, k1).
template <class T>
static void multiply_groups(Product<T>& product, const Gathered<T>& g, int64_t group, int64_t k0,
                            int64_t k1, const Share& share, T* left) {
  Segment segments[kDepth];
  const int64_t channel = group * g.result.share;
  const T* source = g.source.data + group * g.source.share;
  T* result = g.result.data + channel + share.from;
  for (int64_t ry = 0; ry < g.axes(0); ++ry) {
    const Axis ys = g.axis(0, ry);
    for (int64_t rx = 0; rx < g.axes(1); ++rx) {
      const Axis xs = g.axis(1, rx);
      Run rows, columns;
      for (int64_t y = 0; y < ys.count; y = rows.to) {
        rows = run_from(ys, y);
        for (int64_t x = 0; x < xs.count; x = columns.to) {
          columns = run_from(xs, x);
          if (rows.low == rows.high || columns.low == columns.high) {
            if (k0 == 0) clear_pixels(g, ys, rows, xs, columns, share, channel);
            continue;
          }
          product.segments = segments;
          product.segment_count = segments_of(g, ys, rows, xs, columns, k0, k1, segments);
          if (product.segment_count == 0) continue;
          const int64_t first_tap = (ys.tap + rows.low * ys.tap_step) * g.kernel_width + xs.tap +
                                    columns.low * xs.tap_step;
          product.accumulate = k0 > first_tap * g.source.share;
          multiply_pixels(product, g, ys, rows, xs, columns, share, source, result, left);
        }
      }
    }
  }
}

// One thread's share of the whole result.
template <class T>
static void multiply_share(const Gathered<T>& g, const Share& whole) {
  constexpr int64_t tile = kTileColumns<T>;
  alignas(64) T left[kTileRows * kLeftRow<T>];
  alignas(64) T small[kDepth * tile];
  int64_t block = (whole.to - whole.from + tile - 1) / tile * tile;
  if (block > kBlockColumns<T>) block = kBlockColumns<T>;
  T* right = static_cast<T*>(scratch(kDepth * block * static_cast<int64_t>(sizeof(T))));
  if (right == nullptr) {  // no memory: the same, a panel of B at a time
    right = small;
    block = tile;
  }
  const int64_t depth = g.kernel_height * g.kernel_width * g.source.share;
  const int64_t blocks = (depth + kDepth - 1) / kDepth;
  Product<T> product = {};
  product.b = right;
  product.b_step = tile;
  product.c_step = 1;
  for (int64_t group = 0; group < g.groups; ++group) {
    for (int64_t from = whole.from; from < whole.to; from += block) {
      const int64_t to = from + block < whole.to ? from + block : whole.to;
      for (int64_t i = 0; i < blocks; ++i) {
        const int64_t k0 = cut_at(depth, 1, blocks, i), k1 = cut_at(depth, 1, blocks, i + 1);
        pack_weights(g, group, k0, k1, from, to, right);
        product.b_panel = (k1 - k0) * tile;
        product.columns = to - from;
        multiply_groups(product, g, group, k0, k1, Share{whole.part, whole.parts, from, to}, left);
      }
    }
  }
}

template <class T>
static void run(const Gathered<T>& g) {
  const int64_t pixels = g.batch * g.result.height * g.result.width;
  const int64_t parts =
      parts_for(static_cast<double>(pixels) * static_cast<double>(g.result.channels) *
                static_cast<double>(g.kernel_height * g.kernel_width * g.source.share));
  const Grid grid = cut_grid(pixels, g.result.share, kTileRows, kTileColumns<T>, parts);
  const int64_t tasks = grid.down * grid.across;
  const auto task = [&](int64_t i) {
    const int64_t column = i % grid.across;
    multiply_share(g, Share{i / grid.across, grid.down,
                            cut_at(g.result.share, kTileColumns<T>, grid.across, column),
                            cut_at(g.result.share, kTileColumns<T>, grid.across, column + 1)});
  };
  run_tasks(tasks, parts, task);
}

template <class T>
static void gather(const needle::View& result, const needle::View& source, const needle::View& w,
                   const needle::Conv2dParams& p, bool backward) {
  const int64_t taken = w.shape[2],
                made = w.shape[3] / p.groups;  // a group's input and output channels
  const int64_t to_next_output = 1, to_next_input = w.shape[3];
  const Gathered<T> g = {.result = {static_cast<T*>(result.data), result.shape[1], result.shape[2],
                                    result.shape[3], backward ? taken : made},
                         .source = {static_cast<const T*>(source.data), source.shape[1],
                                    source.shape[2], source.shape[3], backward ? made : taken},
                         .batch = result.shape[0],
                         .groups = p.groups,
                         .weights = static_cast<const T*>(w.data),
                         .tap_stride = taken * w.shape[3],
                         .group_stride = made,
                         .source_stride = backward ? to_next_output : to_next_input,
                         .result_stride = backward ? to_next_input : to_next_output,
                         .kernel_height = w.shape[0],
                         .kernel_width = w.shape[1],
                         .backward = backward,
                         .p = p};
  if (!conv_by_winograd(g, run<T>)) run(g);
}

void conv2d(needle::View y, needle::View x, needle::View w, const needle::Conv2dParams& p) {
  if (y.dtype == needle::DType::float64) return gather<double>(y, x, w, p, false);
  gather<float>(y, x, w, p, false);
}

void conv2d_grad_input(needle::View dx, needle::View dy, needle::View w,
                       const needle::Conv2dParams& p) {
  if (dx.dtype == needle::DType::float64) return gather<double>(dx, dy, w, p, true);
  gather<float>(dx, dy, w, p, true);
}

}  // namespace NEEDLE_NS
