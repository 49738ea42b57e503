// Pooling of NHWC images and its gradient, window by window, a vector of channels at a time.
//
//   - x, dx (N, H, W, C), y, dy (N, OH, OW, C); the window of y's pixel (oh, ow) begins at x's
//     (oh * stride - padding, ...) and is cut at the image's edges
//   - channels are walked by full vectors, the rest by 32 bytes, 16, and one by one: few channels
//     are common, and 4 floats are 16 bytes
//   - gradient: where windows share no rows, each row of windows is a task of its own; elsewhere an
//     image is, whose windows add to it in their order
#include "decls.h"
#include "loops.h"
#include "simd.h"

namespace NEEDLE_NS {

using needle::Pool2dParams;
using needle::PoolOp;
using needle::View;
using std::int64_t;

template <class T, int bytes>
struct Packed {
  typedef T type __attribute__((vector_size(bytes)));
};

template <class V, class T>
NEEDLE_INLINE V get(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
NEEDLE_INLINE void put(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}
template <class V, class T>
NEEDLE_INLINE V every(T value) {
  return value - V{};
}

// Calls body(V, c) with vectors V of so many bytes, as long as the channels from c on fill them.
template <class T, int bytes, class Body>
NEEDLE_INLINE int64_t for_vectors(int64_t c, int64_t channels, const Body& body) {
  if constexpr (bytes <= kVectorBytes) {
    using V = typename Packed<T, bytes>::type;
    constexpr int64_t width = bytes / sizeof(T);
    for (; c + width <= channels; c += width) body(V{}, c);
  }
  return c;
}

// Calls body(V, c) so that the vectors V of T from the channels c on cover all.
template <class T, class Body>
NEEDLE_INLINE void for_channels(int64_t channels, const Body& body) {
  int64_t c = for_vectors<T, 64>(0, channels, body);
  c = for_vectors<T, 32>(c, channels, body);
  c = for_vectors<T, 16>(c, channels, body);
  for (; c < channels; ++c) body(T{}, c);
}

struct Images {
  int64_t size[2], out[2], channels;  // of x and y
  Pool2dParams p;

  int64_t x_row() const { return size[1] * channels; }
  int64_t y_row() const { return out[1] * channels; }
  int64_t image() const { return size[0] * x_row(); }
};

// What of a window lies in the image, along one axis.
struct Extent {
  int64_t first, n;
};

NEEDLE_INLINE Extent extent(const Images& g, int axis, int64_t window) {
  const int64_t start = window * g.p.stride[axis] - g.p.padding[axis];
  const int64_t first = start < 0 ? 0 : start;
  int64_t end = start + g.p.kernel[axis];
  end = end < g.size[axis] ? end : g.size[axis];
  return {first, end - first};
}

struct Two {
  constexpr operator int64_t() const { return 2; }
};

// Calls body(ow, first element's place in the image, rows, columns) for the windows of a row;
// windows of 2 x 2, the commonest, with constants.
template <class Body>
NEEDLE_INLINE void for_windows(const Images& g, int64_t oh, const Body& body) {
  const Extent down = extent(g, 0, oh);
  for (int64_t ow = 0; ow < g.out[1]; ++ow) {
    const Extent across = extent(g, 1, ow);
    const int64_t at = down.first * g.x_row() + across.first * g.channels;
    if (down.n == 2 && across.n == 2) {
      body(ow, at, Two{}, Two{});
    } else {
      body(ow, at, down.n, across.n);
    }
  }
}

NEEDLE_INLINE int64_t divisor(const Images& g, int64_t rows, int64_t columns) {
  return g.p.inside ? rows * columns : g.p.kernel[0] * g.p.kernel[1];
}

// NaN wins. From -inf on, which padding is.
template <class V, class T, class N>
NEEDLE_INLINE V largest(const T* x, int64_t row, int64_t pixel, N rows, N columns) {
  V best = every<V>(-static_cast<T>(__builtin_inf()));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const V v = get<V>(x + i * row + j * pixel);
      best = (best > v) | (best != best) ? best : v;
    }
  }
  return best;
}

template <class V, class T, class N>
NEEDLE_INLINE V sum(const T* x, int64_t row, int64_t pixel, N rows, N columns) {
  V total{};
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) total = total + get<V>(x + i * row + j * pixel);
  }
  return total;
}

template <PoolOp op, class T>
static void pool_row(const Images& g, T* y, const T* image, int64_t oh) {
  for_windows(g, oh, [&](int64_t ow, int64_t at, auto rows, auto columns) {
    const T n = static_cast<T>(divisor(g, rows, columns));
    for_channels<T>(g.channels, [&](auto lane, int64_t c) {
      using V = decltype(lane);
      const T* x = image + at + c;
      T* to = y + ow * g.channels + c;
      if constexpr (op == PoolOp::max) {
        put(to, largest<V>(x, g.x_row(), g.channels, rows, columns));
      } else {
        put(to, V(sum<V>(x, g.x_row(), g.channels, rows, columns) / n));
      }
    });
  });
}

// How many of a window's elements are its largest, those that lie outside of the image included.
template <class V, class T, class N>
NEEDLE_INLINE V ties(const T* x, V best, int64_t row, int64_t pixel, N rows, N columns,
                     int64_t outside) {
  const V one = every<V>(T(1)), none{};
  V n =
      best == every<V>(-static_cast<T>(__builtin_inf())) ? every<V>(static_cast<T>(outside)) : none;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const V v = get<V>(x + i * row + j * pixel);
      n = n + ((v == best) | (v != v) ? one : none);
    }
  }
  return n;
}

// Adds the shares of a row of windows to the image, or, where no other window reaches, puts them
// there. x is read by max only.
template <PoolOp op, bool adds, class T>
static void share_row(const Images& g, T* image, const T* dy, const T* x_image, int64_t oh) {
  for_windows(g, oh, [&](int64_t ow, int64_t at, auto rows, auto columns) {
    const int64_t row = g.x_row(), pixel = g.channels;
    const T n = static_cast<T>(divisor(g, rows, columns));
    for_channels<T>(g.channels, [&](auto lane, int64_t c) {
      using V = decltype(lane);
      T* to = image + at + c;
      const T* x = x_image + at + c;
      V share = get<V>(dy + ow * g.channels + c), best{};
      if constexpr (op == PoolOp::max) {
        best = largest<V>(x, row, pixel, rows, columns);
        const int64_t outside = g.p.kernel[0] * g.p.kernel[1] - rows * columns;
        share = share / ties(x, best, row, pixel, rows, columns, outside);
      } else {
        share = share / n;
      }
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          const int64_t k = i * row + j * pixel;
          V part = share;
          if constexpr (op == PoolOp::max) {
            const V v = get<V>(x + k);
            part = (v == best) | (v != v) ? share : V{};
          }
          if constexpr (adds) part = part + get<V>(to + k);
          put(to + k, part);
        }
      }
    });
  });
}

template <PoolOp op, class T>
static void share(const Images& g, int64_t images, T* dx, const T* dy, const T* x) {
  const bool apart[] = {g.p.stride[0] >= g.p.kernel[0], g.p.stride[1] >= g.p.kernel[1]};
  const int64_t bands = apart[0] ? g.out[0] : 1;  // of an image
  parallel(images * bands, images * g.image(), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / bands, band = task % bands;
      const int64_t edge = band * g.p.stride[0] - g.p.padding[0];
      const int64_t first = band == 0 ? 0 : edge;
      const int64_t last = band + 1 == bands ? g.size[0] : edge + g.p.stride[0];
      T* to = dx + image * g.image();
      const T* from = x == nullptr ? dx : x + image * g.image();
      std::memset(to + first * g.x_row(), 0,
                  static_cast<std::size_t>((last - first) * g.x_row()) * sizeof(T));
      for (int64_t oh = band; oh < (apart[0] ? band + 1 : g.out[0]); ++oh) {
        const T* row = dy + (image * g.out[0] + oh) * g.y_row();
        apart[0] && apart[1] ? share_row<op, false>(g, to, row, from, oh)
                             : share_row<op, true>(g, to, row, from, oh);
      }
    }
  });
}

static Images make_images(const View& x, const View& y, const Pool2dParams& p) {
  return {{x.shape[1], x.shape[2]}, {y.shape[1], y.shape[2]}, x.shape[3], p};
}

void pool2d(PoolOp op, View y, View x, const Pool2dParams& p) {
  const Images g = make_images(x, y, p);
  needle::visit_computed(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = static_cast<T*>(y.data);
    const T* from = static_cast<const T*>(x.data);
    parallel(y.shape[0] * g.out[0], needle::numel(x), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* image = from + row / g.out[0] * g.image();
        op == PoolOp::max ? pool_row<PoolOp::max>(g, to + row * g.y_row(), image, row % g.out[0])
                          : pool_row<PoolOp::mean>(g, to + row * g.y_row(), image, row % g.out[0]);
      }
    });
  });
}

void pool2d_grad(PoolOp op, View dx, View dy, View x, const Pool2dParams& p) {
  const Images g = make_images(dx, dy, p);
  needle::visit_computed(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = static_cast<T*>(dx.data);
    const T *from = static_cast<const T*>(dy.data), *images = static_cast<const T*>(x.data);
    op == PoolOp::max ? share<PoolOp::max>(g, dx.shape[0], to, from, images)
                      : share<PoolOp::mean>(g, dx.shape[0], to, from, images);
  });
}

}  // namespace NEEDLE_NS
