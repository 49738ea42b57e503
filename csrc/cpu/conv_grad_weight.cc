// The gradient of conv2d with respect to the weights: for every tap,
//
//   dw[kh, kw] (Cin x Cout) = sum over output pixels of x[pixel at the tap, :]^T dy[pixel, :]
//
// A is x read in place (its rows are channels, neighbours in memory; K walks along a row of
// pixels), B is dy. A strip is a set of neighbouring rows of dw and the output columns that
// contribute to it: one tap and the columns at which it lies inside the input; or, where a tap has
// too few channels to fill a register tile, several taps of a kernel row that lie side by side in x
// and in dw, and the columns at which all of them are valid.
//
// Order of an element's sum: blocks of at most kDepth output pixels, in their order; within a block
// strip by strip.
#include "conv_axis.h"
#include "decls.h"
#include "gemm_block.h"
#include "gemm_parallel.h"

namespace NEEDLE_NS {

template <class T>
struct WeightGradient {
  T* dw;
  const T *x, *dy;
  int64_t batch, height, width, channels;  // of x
  int64_t out_height, out_width, outputs;  // of dy
  int64_t kernel_height, kernel_width, taken,
      made;  // taken, made: a group's input and output channels
  needle::Conv2dParams p;
  Axis ys, xs;
};

struct Strip {
  int64_t tap, taps;  // of the kernel row
  int64_t from, to;   // output columns
};

// Calls f(strip) for every strip of a kernel row.
template <class F>
static void for_each_strip(const Axis& xs, bool together, F&& f) {
  if (together) {
    Run run;
    for (int64_t x = 0; x < xs.count; x = run.to) {
      run = run_from(xs, x);
      if (run.low < run.high) f(Strip{run.low, run.high - run.low, run.from, run.to});
    }
    return;
  }
  for (int64_t tap = 0; tap < xs.taps; ++tap) {
    const int64_t at = xs.source + tap * xs.source_tap;
    const int64_t from = at < 0 ? ceil_div(-at, xs.source_step) : 0;
    int64_t to = ceil_div(xs.extent - at, xs.source_step);
    if (to > xs.count) to = xs.count;
    if (from < to) f(Strip{tap, 1, from, to});
  }
}

// A block of output pixels: image rows [row, row + rows) of all images', columns [from, to) of
// each.
struct Pixels {
  int64_t row, rows, from, to;
};

// The pixels of a block that kernel row ky and a strip take part in, as segments into x from its
// first element.
template <class T>
static int64_t segments_of(const WeightGradient<T>& g, const Pixels& block, int64_t ky,
                           const Strip& strip, Segment* segments) {
  const int64_t from = strip.from > block.from ? strip.from : block.from;
  const int64_t to = strip.to < block.to ? strip.to : block.to;
  if (from >= to) return 0;
  const int64_t left = g.xs.source + from * g.xs.source_step + strip.tap * g.xs.source_tap;
  const int64_t a_step = g.xs.source_step * g.channels;
  int64_t count = 0;
  for (int64_t row = block.row; row < block.row + block.rows; ++row) {
    const int64_t n = row / g.out_height;
    const int64_t y = g.ys.source + row % g.out_height * g.ys.source_step + ky * g.ys.source_tap;
    if (y < 0 || y >= g.height) continue;
    const Segment next{((n * g.height + y) * g.width + left) * g.channels,
                       (row - block.row) * (block.to - block.from) + from - block.from, to - from};
    if (count > 0) {
      Segment& last = segments[count - 1];
      if (last.a + last.length * a_step == next.a && last.k + last.length == next.k) {
        last.length += next.length;
        continue;
      }
    }
    segments[count++] = next;
  }
  return count;
}

// What one thread owns: every parts-th unit of rows of dw (a kernel row, or a panel of a tap),
// output channels [from, to) of a group.
struct Owned {
  int64_t part, parts, from, to;
};

// One block of pixels, whose dy lies ready in `product`, for all rows of dw that are owned.
template <class T>
static void multiply_block(Product<T>& product, const WeightGradient<T>& g, const Pixels& block,
                           int64_t group, const Owned& owned, bool together, Segment* segments) {
  int64_t unit = group;  // groups start at different threads
  for (int64_t ky = 0; ky < g.kernel_height; ++ky) {
    if (together && unit++ % owned.parts != owned.part) continue;
    for_each_strip(g.xs, together, [&](const Strip& strip) {
      const int64_t rows = strip.taps * g.taken, panels = (rows + kTileRows - 1) / kTileRows;
      product.segment_count = segments_of(g, block, ky, strip, segments);
      for (int64_t i = 0; i < panels; ++i) {
        if (!together && unit++ % owned.parts != owned.part) continue;
        if (product.segment_count == 0) continue;
        const int64_t from = cut_at(rows, 1, panels, i);
        product.rows = static_cast<int>(cut_at(rows, 1, panels, i + 1) - from);
        for (int r = 0; r < product.rows; ++r) {
          product.a[r] = g.x + group * g.taken + from + r;
          const int64_t row = (ky * g.kernel_width + strip.tap) * g.taken + from + r;
          product.c[r] = g.dw + row * g.outputs + group * g.made + owned.from;
        }
        multiply(product);
      }
    });
  }
}

template <class T>
static void multiply_owned(const WeightGradient<T>& g, const Owned& owned, bool together) {
  constexpr int64_t tile = kTileColumns<T>;
  alignas(64) T small[kDepth * tile];
  Segment segments[kDepth];
  int64_t wide = (owned.to - owned.from + tile - 1) / tile * tile;
  if (wide > kBlockColumns<T>) wide = kBlockColumns<T>;
  T* right = static_cast<T*>(scratch(kDepth * wide * static_cast<int64_t>(sizeof(T))));
  if (right == nullptr) {  // no memory: the same, a panel of B at a time
    right = small;
    wide = tile;
  }
  Product<T> product = {};
  product.a_step = g.xs.source_step * g.channels;
  product.b = right;
  product.b_step = tile;
  product.c_step = 1;
  product.accumulate = true;
  product.segments = segments;
  const int64_t all_rows = g.batch * g.out_height,
                most = kDepth / g.out_width > 0 ? kDepth / g.out_width : 1;
  const int64_t stretch = g.out_width < kDepth ? g.out_width : kDepth;
  for (int64_t group = 0; group < g.p.groups; ++group) {
    for (int64_t from = owned.from; from < owned.to; from += wide) {
      const int64_t to = from + wide < owned.to ? from + wide : owned.to;
      product.columns = to - from;
      for (int64_t row = 0; row < all_rows; row += most) {
        const int64_t rows = all_rows - row < most ? all_rows - row : most;
        for (int64_t x = 0; x < g.out_width; x += stretch) {
          const Pixels block{row, rows, x, x + stretch < g.out_width ? x + stretch : g.out_width};
          const int64_t depth = rows * (block.to - block.from);
          const T* dy = g.dy + (row * g.out_width + x) * g.outputs + group * g.made + from;
          pack_right(RightBlock<T>{dy, g.outputs, 1, depth, to - from, right, depth * tile});
          product.b_panel = depth * tile;
          multiply_block(product, g, block, group, Owned{owned.part, owned.parts, from, to},
                         together, segments);
        }
      }
    }
  }
}

template <class T>
static void grad_weight(const needle::View& dw, const needle::View& x, const needle::View& dy,
                        const needle::Conv2dParams& p) {
  const WeightGradient<T> g = {.dw = static_cast<T*>(dw.data),
                               .x = static_cast<const T*>(x.data),
                               .dy = static_cast<const T*>(dy.data),
                               .batch = x.shape[0],
                               .height = x.shape[1],
                               .width = x.shape[2],
                               .channels = x.shape[3],
                               .out_height = dy.shape[1],
                               .out_width = dy.shape[2],
                               .outputs = dy.shape[3],
                               .kernel_height = dw.shape[0],
                               .kernel_width = dw.shape[1],
                               .taken = dw.shape[2],
                               .made = dw.shape[3] / p.groups,
                               .p = p,
                               .ys = forward_axis(x.shape[1], dy.shape[1], dw.shape[0], p.stride[0],
                                                  p.padding[0], p.dilation[0]),
                               .xs = forward_axis(x.shape[2], dy.shape[2], dw.shape[1], p.stride[1],
                                                  p.padding[1], p.dilation[1])};
  __builtin_memset(dw.data, 0, static_cast<std::size_t>(needle::numel(dw)) * sizeof(T));
  const bool together =
      p.groups == 1 && p.dilation[1] == 1 && g.kernel_width > 1 && g.taken <= kTileRows / 2;
  const int64_t rows = g.kernel_height * g.kernel_width * g.taken;
  const int64_t parts = parts_for(static_cast<double>(g.batch * g.out_height * g.out_width) *
                                  static_cast<double>(rows) * static_cast<double>(g.outputs));
  const Grid grid = cut_grid(rows, g.made, together ? g.kernel_width * g.taken : kTileRows,
                             kTileColumns<T>, parts);
  const int64_t tasks = grid.down * grid.across;
  const auto task = [&](int64_t i) {
    const int64_t column = i % grid.across;
    multiply_owned(
        g,
        Owned{i / grid.across, grid.down, cut_at(g.made, kTileColumns<T>, grid.across, column),
              cut_at(g.made, kTileColumns<T>, grid.across, column + 1)},
        together);
  };
  run_tasks(tasks, parts, task);
}

void conv2d_grad_weight(needle::View dw, needle::View x, needle::View dy,
                        const needle::Conv2dParams& p) {
  if (dw.dtype == needle::DType::float64) return grad_weight<double>(dw, x, dy, p);
  grad_weight<float>(dw, x, dy, p);
}

}  // namespace NEEDLE_NS
