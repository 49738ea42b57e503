// The operands of the convolutions' GEMMs (conv.cu): where the element (lane, k) of a window, a
// filter or a gradient lies. A window's element outside of its image is zero. All sizes are those
// of one group; pointers stand at the group's first channel.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace NEEDLE_NS {

// Sizes; I is 32 bits wide where all of them and all sums of products are small enough.
template <class I>
struct Geometry {
  I images, height, width, channels;  // x; channels and filters count those of one group
  I out_height, out_width, filters;   // y
  I kernel_height, kernel_width;
  I stride[2], padding[2], dilation[2];
  I groups;
};

// A pixel of an image stack and its element 0 of the group's channels.
template <class T, class I>
struct Pixel {
  const T* image;
  I row, column;
};

// Element (pixel of y; kernel position, channel) of x: what the window at that pixel sees.
template <class T, class I>
struct Window {
  Geometry<I> g;
  const T* x;

  __device__ Pixel<T, I> pixel(I i) const {
    const I line = i / g.out_width, column = i - line * g.out_width;
    const I image = line / g.out_height, row = line - image * g.out_height;
    const auto offset = std::int64_t{image} * g.height * g.width * g.channels * g.groups;
    return {x + offset, row * g.stride[0] - g.padding[0], column * g.stride[1] - g.padding[1]};
  }
  __device__ T at(const Pixel<T, I>& p, I kernel_row, I kernel_column, I channel) const {
    const I row = p.row + kernel_row * g.dilation[0];
    const I column = p.column + kernel_column * g.dilation[1];
    if (row < 0 || row >= g.height || column < 0 || column >= g.width) return T{0};
    return p.image[(std::int64_t{row} * g.width + column) * g.channels * g.groups + channel];
  }
};

// A number below kernel_height * kernel_width * inner, taken apart.
template <class I>
struct Tap {
  I row, column, inner;
  __device__ Tap(I k, I inner_size, I kernel_width) {
    const I position = k / inner_size;
    inner = k - position * inner_size;
    row = position / kernel_width;
    column = position - row * kernel_width;
  }
};

// Forward, left: lane = pixel of y, k = (kh, kw, c).
template <class T, class I>
struct WindowRows : Window<T, I> {
  using Lane = Pixel<T, I>;
  __device__ I lanes() const { return this->g.images * this->g.out_height * this->g.out_width; }
  __device__ bool k_first() const { return true; }
  __device__ Lane lane(I i) const { return this->pixel(i); }
  __device__ T at(const Lane& lane, I k) const {
    const Tap<I> tap(k, this->g.channels, this->g.kernel_width);
    return Window<T, I>::at(lane, tap.row, tap.column, tap.inner);
  }
};

// Grad weight, left: lane = (kh, kw, c), k = pixel of y.
template <class T, class I>
struct WindowColumns : Window<T, I> {
  struct Lane {
    I row, column, channel;
  };
  __device__ I lanes() const {
    return this->g.kernel_height * this->g.kernel_width * this->g.channels;
  }
  __device__ bool k_first() const { return false; }
  __device__ Lane lane(I i) const {
    const Tap<I> tap(i, this->g.channels, this->g.kernel_width);
    return {tap.row, tap.column, tap.inner};
  }
  __device__ T at(const Lane& lane, I k) const {
    return Window<T, I>::at(this->pixel(k), lane.row, lane.column, lane.channel);
  }
};

// Grad input, left: lane = pixel of x, k = (kh, kw, f): the pixel of y whose window sees it through
// (kh, kw), if any.
template <class T, class I>
struct SeenBy {
  using Lane = Pixel<T, I>;
  Geometry<I> g;
  const T* dy;

  __device__ I lanes() const { return g.images * g.height * g.width; }
  __device__ bool k_first() const { return true; }
  __device__ Lane lane(I i) const {
    const I line = i / g.width, column = i - line * g.width;
    const I image = line / g.height, row = line - image * g.height;
    const auto offset = std::int64_t{image} * g.out_height * g.out_width * g.filters * g.groups;
    return {dy + offset, row + g.padding[0], column + g.padding[1]};
  }
  __device__ T at(const Lane& lane, I k) const {
    const Tap<I> tap(k, g.filters, g.kernel_width);
    const I down = lane.row - tap.row * g.dilation[0];
    const I right = lane.column - tap.column * g.dilation[1];
    if (down < 0 || right < 0) return T{0};
    const I row = down / g.stride[0], column = right / g.stride[1];
    if (row >= g.out_height || column >= g.out_width || row * g.stride[0] != down ||
        column * g.stride[1] != right) {
      return T{0};
    }
    return lane
        .image[(std::int64_t{row} * g.out_width + column) * g.filters * g.groups + tap.inner];
  }
};

// Right: columns of a matrix of `pitch` elements a row. Forward: w as (kh kw c, f); grad weight: dy
// as (pixel, f).
template <class T, class I>
struct Columns {
  using Lane = const T*;
  const T* data;
  I count;
  std::int64_t pitch;
  __device__ I lanes() const { return count; }
  __device__ bool k_first() const { return false; }
  __device__ Lane lane(I i) const { return data + i; }
  __device__ T at(Lane lane, I k) const { return lane[k * pitch]; }
};

// Grad input, right: lane = c, k = (kh, kw, f).
template <class T, class I>
struct Transposed {
  using Lane = const T*;
  Geometry<I> g;
  const T* w;
  __device__ I lanes() const { return g.channels; }
  __device__ bool k_first() const { return true; }
  __device__ Lane lane(I i) const { return w + std::int64_t{i} * g.filters * g.groups; }
  __device__ T at(Lane lane, I k) const {
    const I position = k / g.filters, filter = k - position * g.filters;
    return lane[std::int64_t{position} * g.channels * g.filters * g.groups + filter];
  }
};

}  // namespace NEEDLE_NS
