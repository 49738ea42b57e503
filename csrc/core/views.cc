// View algebra: new shape, strides and offset over the same storage. Nothing here touches an
// element.
#include <algorithm>

#include "detail.h"

namespace needle {
namespace {

// Strides that show the elements of (shape, strides), in order, as `wanted`; false where only a
// copy can. Both shapes hold the same number of elements, at least one.
bool strides_for(const Dims& shape, const Dims& strides, const Dims& wanted, Dims& out) {
  out = wanted;
  int axis = shape.size() - 1;  // the next axis to take in
  std::int64_t
      left = 1,
      step = 1;  // elements of the current run not yet given to a new axis, and their distance
  for (int i = wanted.size() - 1; i >= 0; --i) {
    if (wanted[i] == 1) {
      out[i] = step;
      continue;
    }
    if (left == 1) {  // start a run: axes that follow each other without a gap count as one
      while (axis >= 0 && shape[axis] == 1) --axis;
      left = shape[axis];
      step = strides[axis];
      const std::int64_t first = step;
      for (--axis; axis >= 0; --axis) {
        if (shape[axis] == 1) continue;
        if (strides[axis] != first * left) break;
        left *= shape[axis];
      }
    }
    if (left % wanted[i] != 0) return false;
    out[i] = step;
    step *= wanted[i];
    left /= wanted[i];
  }
  return true;
}

}  // namespace

NDArray NDArray::reshape(const Dims& shape) const {
  Dims wanted = shape;
  int unknown = -1;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && unknown < 0) {
      unknown = i;
      wanted[i] = 1;
    } else if (shape[i] < 0) {
      throw std::invalid_argument(message(
          "reshape", "sizes must be 0 or more, one of them may be -1", "shape", shape.str()));
    }
  }
  const std::int64_t elements = size();
  const std::int64_t known = detail::checked_size("reshape", wanted, dtype_);
  if (unknown >= 0 && known > 0) wanted[unknown] = elements / known;
  if ((unknown >= 0 && known == 0) || detail::checked_size("reshape", wanted, dtype_) != elements) {
    throw std::invalid_argument(message("reshape", "the number of elements must not change", "from",
                                        shape_.str(), "to", shape.str()));
  }
  NDArray out = *this;
  out.shape_ = wanted;
  if (elements == 0) {
    out.strides_ = compact_strides(wanted);
  } else if (!strides_for(shape_, strides_, wanted, out.strides_)) {
    return copy().reshape(wanted);
  }
  return out;
}

NDArray NDArray::permute(const Dims& axes) const {
  if (axes.size() != ndim()) {
    throw std::invalid_argument(message("permute", "every axis must be named once", "axes",
                                        axes.str(), "shape", shape_.str()));
  }
  const Dims order = normalize_axes("permute", axes, ndim());
  NDArray out = *this;
  for (int i = 0; i < ndim(); ++i) {
    out.shape_[i] = shape_[static_cast<int>(order[i])];
    out.strides_[i] = strides_[static_cast<int>(order[i])];
  }
  return out;
}

NDArray NDArray::transpose(std::int64_t axis1, std::int64_t axis2) const {
  const int a = normalize_axis("transpose", axis1, ndim());
  const int b = normalize_axis("transpose", axis2, ndim());
  NDArray out = *this;
  std::swap(out.shape_[a], out.shape_[b]);
  std::swap(out.strides_[a], out.strides_[b]);
  return out;
}

NDArray NDArray::broadcast_to(const Dims& shape) const {
  const int added = shape.size() - ndim();
  bool fits = added >= 0;
  for (int i = 0; fits && i < ndim(); ++i) fits = shape_[i] == shape[i + added] || shape_[i] == 1;
  if (!fits) {
    throw std::invalid_argument(message("broadcast_to",
                                        "aligned at the end, sizes must agree or be 1 in the array",
                                        "from", shape_.str(), "to", shape.str()));
  }
  detail::checked_size("broadcast_to", shape, dtype_);
  NDArray out = *this;
  out.shape_ = shape;
  out.strides_ = shape;
  for (int i = 0; i < shape.size(); ++i) {
    const bool kept = i >= added && shape_[i - added] == shape[i];
    out.strides_[i] = kept ? strides_[i - added] : 0;
  }
  return out;
}

NDArray NDArray::flip(const Dims& axes) const {
  const Dims chosen = normalize_axes("flip", axes, ndim());
  NDArray out = *this;
  if (size() == 0) return out;
  for (const std::int64_t value : chosen) {
    const int axis = static_cast<int>(value);
    out.offset_ += (shape_[axis] - 1) * strides_[axis];
    out.strides_[axis] = -strides_[axis];
  }
  return out;
}

NDArray NDArray::squeeze(const Dims& axes) const {
  const Dims chosen = normalize_axes("squeeze", axes, ndim());
  unsigned drop = 0;
  for (const std::int64_t axis : chosen) {
    if (shape_[static_cast<int>(axis)] != 1) {
      throw std::invalid_argument(
          message("squeeze", "axes must have size 1", "axis", axis, "shape", shape_.str()));
    }
    drop |= 1u << axis;
  }
  NDArray out = *this;
  out.shape_ = Dims();
  out.strides_ = Dims();
  for (int i = 0; i < ndim(); ++i) {
    if ((drop >> i & 1u) != 0) continue;
    out.shape_.push_back(shape_[i]);
    out.strides_.push_back(strides_[i]);
  }
  return out;
}

NDArray NDArray::as_strided(const Dims& shape, const Dims& strides, std::int64_t offset) const {
  if (shape.size() != strides.size()) {
    throw std::invalid_argument(message("as_strided", "shape and strides must have one length",
                                        "shape", shape.str(), "strides", strides.str()));
  }
  const bool some = detail::checked_size("as_strided", shape, dtype_) > 0;
  const auto held = static_cast<std::int64_t>(storage_->bytes / itemsize(dtype_));
  bool inside = offset >= 0 && offset <= held;
  if (inside && some) {
    detail::Reach range{offset, offset};
    inside = detail::reach(shape, strides, range) && range.low >= 0 && range.high < held;
  }
  if (!inside) {
    throw std::invalid_argument(message("as_strided", "every element must lie inside the storage",
                                        "shape", shape.str(), "strides", strides.str(), "offset",
                                        offset, "storage_elements", held));
  }
  NDArray out = *this;
  out.shape_ = shape;
  out.strides_ = some ? strides : compact_strides(shape);
  out.offset_ = offset;
  return out;
}

}  // namespace needle
