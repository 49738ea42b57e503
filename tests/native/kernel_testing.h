// For tests of the cpu kernels: arrays in every layout, and the instruction sets of this machine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"

namespace needle_test {

using needle::DType;
using needle::View;

inline std::vector<const needle::CpuKernels*> instruction_sets() {
  std::vector<const needle::CpuKernels*> found;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v2")) found.push_back(&needle_cpu_v2::kernels());
  if (__builtin_cpu_supports("x86-64-v3")) found.push_back(&needle_cpu_v3::kernels());
  if (__builtin_cpu_supports("x86-64-v4")) found.push_back(&needle_cpu_v4::kernels());
#else
  found.push_back(&needle_cpu_generic::kernels());
#endif
  return found;
}

template <class T>
constexpr DType dtype_of = DType::float32;
template <>
inline constexpr DType dtype_of<double> = DType::float64;

using Shape = std::vector<std::int64_t>;

// strided: permuted axes, gaps, negative strides and an offset, by chance; broadcast: zero strides
// too.
enum class Layout { compact, strided, broadcast };

inline bool one_in(std::int64_t n) { return draw(1, n) == 1; }

inline std::int64_t count(const Shape& shape) {
  std::int64_t n = 1;
  for (const std::int64_t s : shape) n *= s;
  return n;
}

// Owns memory that a view lies in; everything outside the view keeps the byte 0xA5.
struct Array {
  std::vector<unsigned char> bytes;
  View view;
  Shape positions;  // of the elements in row-major order, in elements from the start of bytes

  Array(DType dtype, const Shape& shape, Layout layout = Layout::compact) {
    const int n = static_cast<int>(shape.size());
    const bool any = layout != Layout::compact;
    view.dtype = dtype;
    view.ndim = n;
    std::vector<int> order;
    for (int d = n - 1; d >= 0; --d) order.push_back(d);
    if (any && one_in(2)) std::shuffle(order.begin(), order.end(), generator);
    std::int64_t extent = 1, origin = 0;
    for (const int d : order) {
      const std::int64_t size = shape[static_cast<std::size_t>(d)];
      std::int64_t stride = extent;
      if (any && one_in(4)) stride *= draw(1, 3);
      if (layout == Layout::broadcast && one_in(4)) stride = 0;
      if (size > 0 && stride > 0) extent = stride * size;
      if (any && one_in(5)) {
        stride = -stride;
        if (size > 0) origin -= stride * (size - 1);
      }
      view.shape[d] = size;
      view.strides[d] = stride;
    }
    if (any) {
      const std::int64_t offset = draw(0, 3);
      origin += offset;
      extent += offset;
    }
    const std::size_t item = needle::itemsize(dtype);
    bytes.assign(static_cast<std::size_t>(extent) * item, 0xA5);
    view.data = bytes.data() + static_cast<std::size_t>(origin) * item;
    const std::int64_t total = count(shape);
    Shape index(shape.size(), 0);
    for (std::int64_t i = 0; i < total; ++i) {
      std::int64_t position = origin;
      for (int d = 0; d < n; ++d) position += index[static_cast<std::size_t>(d)] * view.strides[d];
      positions.push_back(position);
      for (std::size_t d = shape.size(); d-- > 0;) {
        if (++index[d] < shape[d]) break;
        index[d] = 0;
      }
    }
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  std::int64_t size() const { return static_cast<std::int64_t>(positions.size()); }

  template <class T>
  T get(std::int64_t i) const {
    T value;
    const auto at = static_cast<std::size_t>(positions[static_cast<std::size_t>(i)]);
    std::memcpy(&value, bytes.data() + at * sizeof value, sizeof value);
    return value;
  }
  template <class T>
  void set(std::int64_t i, T value) {
    const auto at = static_cast<std::size_t>(positions[static_cast<std::size_t>(i)]);
    std::memcpy(bytes.data() + at * sizeof value, &value, sizeof value);
  }
  // Whether memory that no element covers is as it was; destroys the elements.
  bool surroundings_untouched() {
    const std::size_t item = needle::itemsize(view.dtype);
    for (const std::int64_t position : positions) {
      std::memset(bytes.data() + static_cast<std::size_t>(position) * item, 0xA5, item);
    }
    for (const unsigned char byte : bytes) {
      if (byte != 0xA5) return false;
    }
    return true;
  }
};

inline Shape random_shape(std::int64_t largest = 3000) {
  static constexpr std::int64_t sizes[] = {1,  1,  2,  3,  4,  5,  7,   8,   9,  15,
                                           16, 17, 31, 33, 64, 65, 100, 259, 300};
  Shape shape(static_cast<std::size_t>(draw(0, 4)));
  do {
    for (std::int64_t& s : shape) s = sizes[draw(0, std::size(sizes) - 1)];
  } while (count(shape) > largest);
  return shape;
}

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Equal as IEEE values: any NaN equals any NaN, -0 differs from 0.
template <class T>
bool same_value(T a, T b) {
  return (a != a && b != b) || same_bits(a, b);
}

}  // namespace needle_test
