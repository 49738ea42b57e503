// Pooling of NHWC images and its gradient, a thread for each element of the result.
//
//   - forward: the element's window is read once; neighbouring threads are neighbouring channels
//   - gradient: the windows that an element lies in are found by division, their largest elements
//     and ties again from x: nothing is kept or added by atomics
#include "kernels.h"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::Pool2dParams;
using needle::PoolOp;
using needle::View;

constexpr unsigned kPoolThreads = 256;

template <class I>
struct Images {
  I size[2], out[2], channels;  // of x and y
  I kernel[2], stride[2], padding[2];
  bool inside;

  // Where the window begins, and its end: both in the image, along one axis.
  NEEDLE_HD I first(int axis, I window) const {
    const I start = window * stride[axis] - padding[axis];
    return start < 0 ? 0 : start;
  }
  NEEDLE_HD I end(int axis, I window) const {
    const I stop = window * stride[axis] - padding[axis] + kernel[axis];
    return stop < size[axis] ? stop : size[axis];
  }
  // The windows that hold a place: from `first_over` on, before `end_over`.
  NEEDLE_HD I first_over(int axis, I place) const {
    const I reach = place + padding[axis] - kernel[axis];
    return reach < 0 ? 0 : reach / stride[axis] + 1;
  }
  NEEDLE_HD I end_over(int axis, I place) const {
    const I last = (place + padding[axis]) / stride[axis] + 1;
    return last < out[axis] ? last : out[axis];
  }
};

// A window in its image, of one channel.
template <class T, class I>
struct Window {
  using C = Compute<T>;
  const Images<I>& g;
  const T* image;  // the channel's first element
  I top, bottom, left, right;

  __device__ Window(const Images<I>& images, const T* of, I oh, I ow)
      : g(images),
        image(of),
        top(images.first(0, oh)),
        bottom(images.end(0, oh)),
        left(images.first(1, ow)),
        right(images.end(1, ow)) {}

  template <class F>
  __device__ void each(F&& f) const {
    for (I h = top; h < bottom; ++h) {
      for (I w = left; w < right; ++w) {
        f(widen(image[(std::int64_t{h} * g.size[1] + w) * g.channels]));
      }
    }
  }
  __device__ I inside() const { return (bottom - top) * (right - left); }
  __device__ C divisor() const {
    return static_cast<C>(g.inside ? inside() : g.kernel[0] * g.kernel[1]);
  }
  __device__ C largest() const {
    C best = -static_cast<C>(__builtin_inf());
    each([&](C x) { best = best > x || best != best ? best : x; });
    return best;
  }
  // Padding takes part where it is as large.
  __device__ C ties(C best) const {
    const bool lowest = best == -static_cast<C>(__builtin_inf());
    I n = lowest ? g.kernel[0] * g.kernel[1] - inside() : 0;
    each([&](C x) { n += x == best || x != x ? 1 : 0; });
    return static_cast<C>(n);
  }
};

template <class T, class I>
__global__ void __launch_bounds__(kPoolThreads)
    pool_kernel(T* y, const T* x, const __grid_constant__ Images<I> g, I count, bool largest) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (at >= count) return;
  I rest = static_cast<I>(at);
  const I c = rest % g.channels;
  rest /= g.channels;
  const I ow = rest % g.out[1];
  rest /= g.out[1];
  const I oh = rest % g.out[0], image = rest / g.out[0];
  const std::int64_t size = std::int64_t{g.size[0]} * g.size[1] * g.channels;
  const Window<T, I> window(g, x + image * size + c, oh, ow);
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
    pool_grad_kernel(T* dx, const T* dy, const T* x, const __grid_constant__ Images<I> g, I count,
                     bool largest) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kPoolThreads + threadIdx.x;
  if (at >= count) return;
  I rest = static_cast<I>(at);
  const I c = rest % g.channels;
  rest /= g.channels;
  const I w = rest % g.size[1];
  rest /= g.size[1];
  const I h = rest % g.size[0], image = rest / g.size[0];
  const std::int64_t size = std::int64_t{g.size[0]} * g.size[1] * g.channels;
  const T* images = largest ? x + image * size + c : nullptr;
  const T* cotangents = dy + image * (std::int64_t{g.out[0]} * g.out[1] * g.channels) + c;
  const Compute<T> own = largest ? widen(x[at]) : Compute<T>(0);
  Compute<T> sum = 0;
  for (I oh = g.first_over(0, h); oh < g.end_over(0, h); ++oh) {
    for (I ow = g.first_over(1, w); ow < g.end_over(1, w); ++ow) {
      const Compute<T> d = widen(cotangents[(std::int64_t{oh} * g.out[1] + ow) * g.channels]);
      const Window<T, I> window(g, images, oh, ow);
      if (!largest) {
        sum += d / window.divisor();
        continue;
      }
      const Compute<T> best = window.largest();
      if (own == best || own != own) sum += d / window.ties(best);
    }
  }
  dx[at] = narrow<T>(sum);
}

template <class I>
Images<I> make_images(const View& x, const View& y, const Pool2dParams& p) {
  Images<I> g{};
  for (int d = 0; d < 2; ++d) {
    g.size[d] = static_cast<I>(x.shape[1 + d]);
    g.out[d] = static_cast<I>(y.shape[1 + d]);
    g.kernel[d] = static_cast<I>(p.kernel[d]);
    g.stride[d] = static_cast<I>(p.stride[d]);
    g.padding[d] = static_cast<I>(p.padding[d]);
  }
  g.channels = static_cast<I>(x.shape[3]);
  g.inside = p.inside;
  return g;
}

// Whether 32 bits hold every element's number and every place in a padded image.
bool is_small(const View& x, const View& y, const Pool2dParams& p) {
  constexpr std::int64_t limit = (std::int64_t{1} << 31) - 4096;
  bool small = needle::numel(x) < limit && needle::numel(y) < limit;
  for (int d = 0; d < 2; ++d) {
    small = small && x.shape[1 + d] + p.kernel[d] + p.stride[d] + 2 * p.padding[d] < limit;
  }
  return small && p.kernel[0] < limit / p.kernel[1];
}

// Calls f with a T and the images in the index type that they need; x and y give the shapes.
template <class F>
void visit(const View& x, const View& y, const Pool2dParams& p, F&& f) {
  needle::visit_floating(y.dtype, [&](auto zero) {
    if (is_small(x, y, p)) {
      f(zero, make_images<std::int32_t>(x, y, p));
    } else {
      f(zero, make_images<std::int64_t>(x, y, p));
    }
  });
}

}  // namespace

void pool2d(const Stream& stream, PoolOp op, View y, View x, const Pool2dParams& p) {
  const std::int64_t count = needle::numel(y);
  visit(x, y, p, [&]<class T, class I>(T, const Images<I>& g) {
    launch(pool_kernel<T, I>, blocks_for(count, kPoolThreads), kPoolThreads, 0, stream,
           static_cast<T*>(y.data), static_cast<const T*>(x.data), g, static_cast<I>(count),
           op == PoolOp::max);
  });
}

void pool2d_grad(const Stream& stream, PoolOp op, View dx, View dy, View x, const Pool2dParams& p) {
  const std::int64_t count = needle::numel(dx);
  visit(dx, dy, p, [&]<class T, class I>(T, const Images<I>& g) {
    launch(pool_grad_kernel<T, I>, blocks_for(count, kPoolThreads), kPoolThreads, 0, stream,
           static_cast<T*>(dx.data), static_cast<const T*>(dy.data), static_cast<const T*>(x.data),
           g, static_cast<I>(count), op == PoolOp::max);
  });
}

}  // namespace NEEDLE_NS
