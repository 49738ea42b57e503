// Shapes, strides and axes as numbers.
#include <algorithm>

#include "detail.h"

namespace needle {

Dims::Dims(std::initializer_list<std::int64_t> values)
    : Dims(std::span(values.begin(), values.size())) {}

Dims::Dims(std::span<const std::int64_t> values) {
  if (values.size() > kMaxDims) {
    throw std::invalid_argument(
        message("shape", "an array has at most 8 dimensions", "ndim", values.size()));
  }
  std::copy(values.begin(), values.end(), values_.begin());
  size_ = static_cast<int>(values.size());
}

void Dims::push_back(std::int64_t value) {
  if (size_ == kMaxDims) {
    throw std::invalid_argument(
        message("shape", "an array has at most 8 dimensions", "ndim", size_ + 1));
  }
  values_[static_cast<std::size_t>(size_++)] = value;
}

bool Dims::operator==(const Dims& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string Dims::str() const {
  std::string text = "(";
  for (int i = 0; i < size_; ++i) text += (i > 0 ? ", " : "") + std::to_string((*this)[i]);
  return text + (size_ == 1 ? ",)" : ")");
}

Dims broadcast_shapes(std::string_view op, const Dims& a, const Dims& b) {
  const Dims& longer = a.size() >= b.size() ? a : b;
  const Dims& shorter = a.size() >= b.size() ? b : a;
  Dims out = longer;
  for (int i = 1; i <= shorter.size(); ++i) {
    std::int64_t& size = out[out.size() - i];
    const std::int64_t other = shorter[shorter.size() - i];
    if (size == other || other == 1) continue;
    if (size != 1) {
      throw std::invalid_argument(
          message(op, "shapes must broadcast: aligned at the end, sizes agree or one of them is 1",
                  "a.shape", a.str(), "b.shape", b.str()));
    }
    size = other;
  }
  return out;
}

Dims compact_strides(const Dims& shape) {
  Dims strides = shape;
  std::int64_t step = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= std::max<std::int64_t>(shape[i], 1);
  }
  return strides;
}

int normalize_axis(std::string_view op, std::int64_t axis, int ndim) {
  if (axis < -ndim || axis >= ndim) {
    throw std::out_of_range(
        message(op, "axis must lie in [-ndim, ndim)", "axis", axis, "ndim", ndim));
  }
  return static_cast<int>(axis < 0 ? axis + ndim : axis);
}

Dims normalize_axes(std::string_view op, const Dims& axes, int ndim) {
  Dims out = axes;
  unsigned seen = 0;
  for (int i = 0; i < axes.size(); ++i) {
    const int axis = normalize_axis(op, axes[i], ndim);
    if ((seen >> axis & 1u) != 0) {
      throw std::invalid_argument(
          message(op, "axes must be distinct", "axes", axes.str(), "ndim", ndim));
    }
    seen |= 1u << axis;
    out[i] = axis;
  }
  return out;
}

namespace detail {

std::int64_t product(const Dims& shape) {
  std::int64_t size = 1;
  for (const std::int64_t n : shape) size *= n;
  return size;
}

std::int64_t checked_size(std::string_view op, const Dims& shape, DType dtype) {
  std::int64_t bytes = static_cast<std::int64_t>(itemsize(dtype));
  for (const std::int64_t n : shape) {
    if (n < 0)
      throw std::invalid_argument(message(op, "sizes must not be negative", "shape", shape.str()));
    if (__builtin_mul_overflow(bytes, std::max<std::int64_t>(n, 1), &bytes)) {
      throw std::invalid_argument(message(op, "an array must hold fewer than 2**63 bytes", "shape",
                                          shape.str(), "dtype", name(dtype)));
    }
  }
  return product(shape);
}

bool reach(const Dims& shape, const Dims& strides, Reach& out) {
  constexpr std::int64_t most = std::int64_t{1}
                                << 58;  // in bytes, too, a stride must fit, even where it is unused
  for (int i = 0; i < shape.size(); ++i) {
    if (strides[i] > most || strides[i] < -most) return false;
    std::int64_t extent = 0;
    std::int64_t& end = strides[i] < 0 ? out.low : out.high;
    if (__builtin_mul_overflow(shape[i] - 1, strides[i], &extent) ||
        __builtin_add_overflow(end, extent, &end)) {
      return false;
    }
  }
  return true;
}

}  // namespace detail
}  // namespace needle
