// Convolution and its two gradients as implicit GEMMs (gemm.cuh), one product per group; all arrays
// are compact: x (N, H, W, C), w (KH, KW, C / G, F), y (N, OH, OW, F).
//
//   forward       y(pixel of y, f)        = sum over (kh, kw, c) of x(window) * w(kh, kw, c; f)
//   grad input    dx(pixel of x, c)       = sum over (kh, kw, f) of dy(window) * w(kh, kw, f; c)
//   grad weight   dw(kh, kw, c; f)        = sum over pixels of y of x(window) * dy(pixel, f)
//
// Nothing is copied: an operand (conv_operands.cuh) computes where its element lies. Where cuDNN is
// (libraries/) it comes first.
#include "conv_operands.cuh"
#include "gemm.cuh"
#include "kernels.h"
#include "libraries/libraries.h"
#include "nest.cuh"

namespace NEEDLE_NS {
namespace {

using needle::Conv2dParams;
using needle::View;

template <class T>
struct Rows {
  T* data;
  std::int64_t pitch;
  __device__ void put(std::int64_t m, std::int64_t n, Compute<T> value) const {
    data[m * pitch + n] = narrow<T>(value);
  }
};

// Grid x: the tiles of one group's product, y: groups, in strides where there are many.
template <class I, class F>
__device__ __forceinline__ void each_group(const Geometry<I>& g, I columns, F product) {
  const I across = (columns + kTile - 1) / kTile;
  const I tile = static_cast<I>(blockIdx.x), down = tile / across;
  for (I group = static_cast<I>(blockIdx.y); group < g.groups; group += static_cast<I>(gridDim.y)) {
    product(group, down * kTile, (tile - down * across) * kTile);
  }
}

template <class T, class I>
__global__ void __launch_bounds__(kGemmThreads, 1)
    conv2d_kernel(T* y, const T* x, const T* w, Geometry<I> g) {
  const std::int64_t pitch = std::int64_t{g.filters} * g.groups;
  each_group(g, g.filters, [&](I group, I first_m, I first_n) {
    const WindowRows<T, I> left{{g, x + group * g.channels}};
    const Columns<T, I> right{w + group * g.filters, g.filters, pitch};
    const Rows<T> out{y + group * g.filters, pitch};
    const I depth = g.kernel_height * g.kernel_width * g.channels;
    gemm_tile<Compute<T>>(left, right, out, first_m, first_n, depth);
  });
}

template <class T, class I>
__global__ void __launch_bounds__(kGemmThreads, 1)
    conv2d_grad_input_kernel(T* dx, const T* dy, const T* w, Geometry<I> g) {
  each_group(g, g.channels, [&](I group, I first_m, I first_n) {
    const SeenBy<T, I> left{g, dy + group * g.filters};
    const Transposed<T, I> right{g, w + group * g.filters};
    const Rows<T> out{dx + group * g.channels, std::int64_t{g.channels} * g.groups};
    const I depth = g.kernel_height * g.kernel_width * g.filters;
    gemm_tile<Compute<T>>(left, right, out, first_m, first_n, depth);
  });
}

template <class T, class I>
__global__ void __launch_bounds__(kGemmThreads, 1)
    conv2d_grad_weight_kernel(T* dw, const T* x, const T* dy, Geometry<I> g) {
  const std::int64_t pitch = std::int64_t{g.filters} * g.groups;
  each_group(g, g.filters, [&](I group, I first_m, I first_n) {
    const WindowColumns<T, I> left{{g, x + group * g.channels}};
    const Columns<T, I> right{dy + group * g.filters, g.filters, pitch};
    const Rows<T> out{dw + group * g.filters, pitch};
    const I depth = g.images * g.out_height * g.out_width;
    gemm_tile<Compute<T>>(left, right, out, first_m, first_n, depth);
  });
}

template <class I>
Geometry<I> geometry(const View& x, const View& w, const View& y, const Conv2dParams& p) {
  const auto i = [](std::int64_t v) { return static_cast<I>(v); };
  return {i(x.shape[0]),
          i(x.shape[1]),
          i(x.shape[2]),
          i(w.shape[2]),
          i(y.shape[1]),
          i(y.shape[2]),
          i(w.shape[3] / p.groups),
          i(w.shape[0]),
          i(w.shape[1]),
          {i(p.stride[0]), i(p.stride[1])},
          {i(p.padding[0]), i(p.padding[1])},
          {i(p.dilation[0]), i(p.dilation[1])},
          i(p.groups)};
}

// Whether 32 bits hold every lane, every k and every coordinate of a padded image or a dilated
// kernel.
bool is_small(const Geometry<std::int64_t>& g) {
  const std::int64_t taps = g.kernel_height * g.kernel_width;
  bool small = g.images * g.height * g.width <= kNarrow && taps * g.channels <= kNarrow &&
               g.images * g.out_height * g.out_width <= kNarrow && taps * g.filters <= kNarrow;
  const std::int64_t size[] = {g.height, g.width}, kernel[] = {g.kernel_height, g.kernel_width};
  for (int d = 0; d < 2; ++d) {
    small =
        small && size[d] + 2 * g.padding[d] + kernel[d] * g.dilation[d] + g.stride[d] <= kNarrow;
  }
  return small;
}

// Calls f with a T and the geometry in the index type that it needs.
template <class F>
void visit(View x, View w, View y, const Conv2dParams& p, F&& f) {
  const auto wide = geometry<std::int64_t>(x, w, y, p);
  needle::visit_floating(x.dtype, [&](auto zero) {
    if (is_small(wide)) {
      f(zero, geometry<std::int32_t>(x, w, y, p));
    } else {
      f(zero, wide);
    }
  });
}

template <class T>
T* data(const View& v) {
  return static_cast<T*>(v.data);
}

}  // namespace

void conv2d(const Stream& stream, View y, View x, View w, const Conv2dParams& p) {
  if (libraries::conv2d(stream, y, x, w, p)) return;
  const dim3 grid =
      gemm_grid(y.shape[0] * y.shape[1] * y.shape[2], y.shape[3] / p.groups, p.groups);
  visit(x, w, y, p, [&]<class T, class I>(T, Geometry<I> g) {
    launch(conv2d_kernel<T, I>, grid, kGemmThreads, 0, stream, data<T>(y), data<T>(x), data<T>(w),
           g);
  });
}

void conv2d_grad_input(const Stream& stream, View dx, View dy, View w, const Conv2dParams& p) {
  if (libraries::conv2d_grad_input(stream, dx, dy, w, p)) return;
  const dim3 grid = gemm_grid(dx.shape[0] * dx.shape[1] * dx.shape[2], w.shape[2], p.groups);
  visit(dx, w, dy, p, [&]<class T, class I>(T, Geometry<I> g) {
    launch(conv2d_grad_input_kernel<T, I>, grid, kGemmThreads, 0, stream, data<T>(dx), data<T>(dy),
           data<T>(w), g);
  });
}

void conv2d_grad_weight(const Stream& stream, View dw, View x, View dy, const Conv2dParams& p) {
  if (libraries::conv2d_grad_weight(stream, dw, x, dy, p)) return;
  const std::int64_t rows = dw.shape[0] * dw.shape[1] * dw.shape[2];
  const dim3 grid = gemm_grid(rows, dw.shape[3] / p.groups, p.groups);
  visit(x, dw, dy, p, [&]<class T, class I>(T, Geometry<I> g) {
    launch(conv2d_grad_weight_kernel<T, I>, grid, kGemmThreads, 0, stream, data<T>(dw), data<T>(x),
           data<T>(dy), g);
  });
}

}  // namespace NEEDLE_NS
