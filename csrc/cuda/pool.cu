// Pooling of NHWC images and its gradient, a thread for each element of the result.
//
//   - forward: the element's window is read once; neighbouring threads are neighbouring channels
//   - gradient: the windows that an element lies in are found by division, their largest elements
//     and ties again from x: nothing is kept or added by atomics
#include "kernels.h"
#include "nest.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::Pool2dParams;
using needle::PoolOp;
using needle::View;

constexpr unsigned kPoolThreads = 256;

struct Images {
  int size[2], out[2];  // of x and y; the core has seen to it that rows and columns fit
  int kernel[2], stride[2], padding[2];
  std::int64_t channels;
  bool inside;

  // Where the window begins, and its end: both in the image, along one axis.
  NEEDLE_HD int first(int axis, int window) const {
    const int start = window * stride[axis] - padding[axis];
    return start < 0 ? 0 : start;
  }
  NEEDLE_HD int end(int axis, int window) const {
    const int stop = window * stride[axis] - padding[axis] + kernel[axis];
    return stop < size[axis] ? stop : size[axis];
  }
  // The windows that hold a place: from `first_over` on, before `end_over`.
  NEEDLE_HD int first_over(int axis, int place) const {
    const int reach = place + padding[axis] - kernel[axis];
    return reach < 0 ? 0 : reach / stride[axis] + 1;
  }
  NEEDLE_HD int end_over(int axis, int place) const {
    const int last = (place + padding[axis]) / stride[axis] + 1;
    return last < out[axis] ? last : out[axis];
  }
};

// A window in its image, of one channel.
template <class T>
struct Window {
  using C = Compute<T>;
  const Images& g;
  const T* image;  // the channel's first element
  int top, bottom, left, right;

  __device__ Window(const Images& images, const T* of, int oh, int ow)
      : g(images),
        image(of),
        top(images.first(0, oh)),
        bottom(images.end(0, oh)),
        left(images.first(1, ow)),
        right(images.end(1, ow)) {}

  template <class F>
  __device__ void each(F&& f) const {
    for (int h = top; h < bottom; ++h) {
      const T* row = image + std::int64_t{h} * g.size[1] * g.channels;
      for (int w = left; w < right; ++w) f(widen(row[w * g.channels]));
    }
  }
  __device__ std::int64_t inside() const { return std::int64_t{bottom - top} * (right - left); }
  __device__ std::int64_t whole() const { return std::int64_t{g.kernel[0]} * g.kernel[1]; }
  __device__ C divisor() const { return static_cast<C>(g.inside ? inside() : whole()); }
  __device__ C largest() const {
    C best = -static_cast<C>(__builtin_inf());
    each([&](C x) { best = best > x || best != best ? best : x; });
    return best;
  }
  // Padding takes part where it is as large.
  __device__ C ties(C best) const {
    std::int64_t n = best == -static_cast<C>(__builtin_inf()) ? whole() - inside() : 0;
    each([&](C x) { n += x == best || x != x ? 1 : 0; });
    return static_cast<C>(n);
  }
};

// The place of an element among images of these rows and columns; I holds its number.
template <class I>
struct Place {
  std::int64_t image, channel;
  int row, column;

  __device__ Place(I at, const int (&size)[2], std::int64_t channels) {
    const I c = static_cast<I>(channels), w = static_cast<I>(size[1]), h = static_cast<I>(size[0]);
    const I pixel = at / c, line = pixel / w;
    channel = at - pixel * c;
    column = static_cast<int>(pixel - line * w);
    image = line / h;
    row = static_cast<int>(line - line / h * h);
  }
};

template <class T, class I>
__global__ void __launch_bounds__(kPoolThreads)
    pool_kernel(T* y, const T* x, const __grid_constant__ Images g, I count, bool largest) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (at >= count) return;
  const Place<I> place(static_cast<I>(at), g.out, g.channels);
  const std::int64_t size = std::int64_t{g.size[0]} * g.size[1] * g.channels;
  const Window<T> window(g, x + place.image * size + place.channel, place.row, place.column);
  if (largest) {
    y[at] = narrow<T>(window.largest());
  } else {
    Compute<T> sum = 0;
    window.each([&](Compute<T> v) { sum += v; });
    y[at] = narrow<T>(sum / window.divisor());
  }
}

template <class T, class I>
__global__ void __launch_bounds__(kPoolThreads)
    pool_grad_kernel(T* dx, const T* dy, const T* x, const __grid_constant__ Images g, I count,
                     bool largest) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (at >= count) return;
  const Place<I> place(static_cast<I>(at), g.size, g.channels);
  const std::int64_t size = std::int64_t{g.size[0]} * g.size[1] * g.channels;
  const T* image = largest ? x + place.image * size + place.channel : nullptr;
  dy += place.image * (std::int64_t{g.out[0]} * g.out[1] * g.channels) + place.channel;
  const Compute<T> own = largest ? widen(x[at]) : Compute<T>(0);
  const int bottom = g.end_over(0, place.row), right = g.end_over(1, place.column);
  Compute<T> sum = 0;
  for (int oh = g.first_over(0, place.row); oh < bottom; ++oh) {
    for (int ow = g.first_over(1, place.column); ow < right; ++ow) {
      const Window<T> window(g, image, oh, ow);
      Compute<T> parts = window.divisor();
      if (largest) {
        const Compute<T> best = window.largest();
        if (own != best && own == own) continue;
        parts = window.ties(best);
      }
      sum += widen(dy[(std::int64_t{oh} * g.out[1] + ow) * g.channels]) / parts;
    }
  }
  dx[at] = narrow<T>(sum);
}

Images make_images(const View& x, const View& y, const Pool2dParams& p) {
  Images g{};
  for (int d = 0; d < 2; ++d) {
    g.size[d] = static_cast<int>(x.shape[1 + d]);
    g.out[d] = static_cast<int>(y.shape[1 + d]);
    g.kernel[d] = static_cast<int>(p.kernel[d]);
    g.stride[d] = static_cast<int>(p.stride[d]);
    g.padding[d] = static_cast<int>(p.padding[d]);
  }
  g.channels = x.shape[3];
  g.inside = p.inside;
  return g;
}

// Calls f with a T and the number of elements, in 32 bits where they hold it.
template <class F>
void visit(const View& result, F&& f) {
  const std::int64_t count = needle::numel(result);
  needle::visit_floating(result.dtype, [&](auto zero) {
    if (count <= kNarrow) {
      f(zero, static_cast<std::int32_t>(count));
    } else {
      f(zero, count);
    }
  });
}

}  // namespace

void pool2d(const Stream& stream, PoolOp op, View y, View x, const Pool2dParams& p) {
  visit(y, [&]<class T, class I>(T, I count) {
    launch(pool_kernel<T, I>, blocks_for(count, kPoolThreads), kPoolThreads, 0, stream,
           static_cast<T*>(y.data), static_cast<const T*>(x.data), make_images(x, y, p), count,
           op == PoolOp::max);
  });
}

void pool2d_grad(const Stream& stream, PoolOp op, View dx, View dy, View x, const Pool2dParams& p) {
  visit(dx, [&]<class T, class I>(T, I count) {
    launch(pool_grad_kernel<T, I>, blocks_for(count, kPoolThreads), kPoolThreads, 0, stream,
           static_cast<T*>(dx.data), static_cast<const T*>(dy.data), static_cast<const T*>(x.data),
           make_images(dx, dy, p), count, op == PoolOp::max);
  });
}

}  // namespace NEEDLE_NS
