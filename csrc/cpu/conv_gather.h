// conv2d and its gradient with respect to the input as one problem: a result pixel sums, over its
// valid taps, a source pixel's channels times that tap's weights. Forward the result is y and the
// source x; backward the result is dx and the source dy, and the weights are transposed.
#pragma once

#include "../core/backend.h"
#include "conv_axis.h"
#include "gemm_block.h"

namespace NEEDLE_NS {

// An image batch (N, H, W, C) and, of its channels, a group's share.
template <class T>
struct Image {
  T* data;
  int64_t height, width, channels;
  int64_t share;  // channels of a group
};

template <class T>
struct Gathered {
  Image<T> result;
  Image<const T> source;
  int64_t batch, groups;
  const T* weights;                  // of tap t: + t * tap_stride
  int64_t tap_stride, group_stride;  // elements to the next tap, the next group's weights
  int64_t source_stride,
      result_stride;  // elements to the next source channel, the next result channel
  int64_t kernel_height, kernel_width;
  bool backward;
  needle::Conv2dParams p;

  int64_t axes(int d) const {
    return backward ? backward_axes(d == 0 ? result.height : result.width, p.stride[d]) : 1;
  }
  Axis axis(int d, int64_t first) const {
    const int64_t in = d == 0 ? source.height : source.width,
                  out = d == 0 ? result.height : result.width;
    const int64_t kernel = d == 0 ? kernel_height : kernel_width;
    if (backward)
      return backward_axis(first, out, in, kernel, p.stride[d], p.padding[d], p.dilation[d]);
    return forward_axis(in, out, kernel, p.stride[d], p.padding[d], p.dilation[d]);
  }
};

// What one thread computes: part `part` of `parts` of every group of pixels, channels [from, to) of
// a group.
struct Share {
  int64_t part, parts, from, to;
};

// The valid part of K block [k0, k1) for pixels whose taps are rows x columns; offsets from the
// first valid tap.
template <class T>
static int64_t segments_of(const Gathered<T>& g, const Axis& ys, const Run& rows, const Axis& xs,
                           const Run& columns, int64_t k0, int64_t k1, Segment* segments) {
  const int64_t channels = g.source.share;
  int64_t count = 0;
  for (int64_t tap = k0 / channels; tap * channels < k1; ++tap) {
    const int64_t ky = tap / g.kernel_width - ys.tap, kx = tap % g.kernel_width - xs.tap;
    if (ky < 0 || kx < 0 || ky % ys.tap_step != 0 || kx % xs.tap_step != 0) continue;
    const int64_t my = ky / ys.tap_step, mx = kx / xs.tap_step;
    if (my < rows.low || my >= rows.high || mx < columns.low || mx >= columns.high) continue;
    const int64_t from = tap * channels > k0 ? tap * channels : k0;
    const int64_t to = (tap + 1) * channels < k1 ? (tap + 1) * channels : k1;
    const int64_t pixels =
        (my - rows.low) * ys.source_tap * g.source.width + (mx - columns.low) * xs.source_tap;
    const Segment next{pixels * g.source.channels + from - tap * channels, from - k0, to - from};
    if (count > 0) {
      Segment& last = segments[count - 1];
      if (last.a + last.length == next.a && last.k + last.length == next.k) {
        last.length += next.length;
        continue;
      }
    }
    segments[count++] = next;
  }
  return count;
}

// Weights of K block [k0, k1) and result channels [from, to) of a group, as a B block.
template <class T>
static void pack_weights(const Gathered<T>& g, int64_t group, int64_t k0, int64_t k1, int64_t from,
                         int64_t to, T* packed) {
  const int64_t channels = g.source.share, panel = (k1 - k0) * kTileColumns<T>;
  for (int64_t k = k0; k < k1;) {
    const int64_t tap = k / channels, end = (tap + 1) * channels < k1 ? (tap + 1) * channels : k1;
    const T* source = g.weights + tap * g.tap_stride + group * g.group_stride +
                      (k - tap * channels) * g.source_stride + from * g.result_stride;
    pack_right(RightBlock<T>{source, g.source_stride, g.result_stride, end - k, to - from,
                             packed + (k - k0) * kTileColumns<T>, panel});
    k = end;
  }
}

// conv_winograd.cc: computes g by Winograd's transforms where they suit, images that they do not by
// `otherwise`; false, and nothing is computed, where they suit none.
bool conv_by_winograd(const Gathered<float>& g, void (*otherwise)(const Gathered<float>&));
bool conv_by_winograd(const Gathered<double>& g, void (*otherwise)(const Gathered<double>&));

}  // namespace NEEDLE_NS
