// Index expressions: integers, slices, new axes and an ellipsis, with Python's rules.
#include <algorithm>
#include <limits>

#include "detail.h"

namespace needle {
namespace {

struct Range {
  std::int64_t start, step, length;
};

// Bounds of a slice clamped to an axis, as Python's slice.indices; length is 0 for an empty one.
Range resolve(const IndexItem& item, std::int64_t size) {
  // The lowest integer has no negative; a step that long takes one element either way.
  const std::int64_t step =
      std::max(item.step.value_or(1), -std::numeric_limits<std::int64_t>::max());
  if (step == 0)
    throw std::invalid_argument(message("getitem", "a slice's step must not be 0", "step", step));
  const bool forward = step > 0;
  const std::int64_t lowest = forward ? 0 : -1, highest = forward ? size : size - 1;
  const auto clamp = [&](const std::optional<std::int64_t>& bound, std::int64_t otherwise) {
    if (!bound) return otherwise;
    const std::int64_t from_start = *bound < 0 ? *bound + size : *bound;
    return std::clamp(from_start, lowest, highest);
  };
  const std::int64_t start = clamp(item.start, forward ? lowest : highest);
  const std::int64_t stop = clamp(item.stop, forward ? highest : lowest);
  if (forward) return {start, step, start < stop ? (stop - start - 1) / step + 1 : 0};
  return {start, step, stop < start ? (start - stop - 1) / -step + 1 : 0};
}

}  // namespace

NDArray NDArray::index(std::span<const IndexItem> items) const {
  using Kind = IndexItem::Kind;
  int consumed = 0, ellipses = 0;
  for (const IndexItem& item : items) {
    consumed += item.kind == Kind::integer || item.kind == Kind::slice ? 1 : 0;
    ellipses += item.kind == Kind::ellipsis ? 1 : 0;
  }
  if (ellipses > 1)
    throw std::out_of_range(message("getitem", "one ellipsis at most", "ellipses", ellipses));
  if (consumed > ndim()) {
    throw std::out_of_range(message("getitem", "no more indices than axes", "indices", consumed,
                                    "shape", shape_.str()));
  }
  NDArray out = *this;
  out.shape_ = Dims();
  out.strides_ = Dims();
  int axis = 0;
  const auto keep = [&](int count) {
    for (; count > 0; --count, ++axis) {
      out.shape_.push_back(shape_[axis]);
      out.strides_.push_back(strides_[axis]);
    }
  };
  for (const IndexItem& item : items) {
    if (item.kind == Kind::newaxis) {
      out.shape_.push_back(1);
      out.strides_.push_back(0);
    } else if (item.kind == Kind::ellipsis) {
      keep(ndim() - consumed);
    } else if (item.kind == Kind::integer) {
      const std::int64_t size = shape_[axis];
      if (item.integer < -size || item.integer >= size) {
        throw std::out_of_range(message("getitem", "index must lie in [-size, size)", "index",
                                        item.integer, "axis", axis, "size", size));
      }
      out.offset_ += (item.integer < 0 ? item.integer + size : item.integer) * strides_[axis];
      ++axis;
    } else {
      const Range range = resolve(item, shape_[axis]);
      out.offset_ += range.start * strides_[axis];
      out.shape_.push_back(range.length);
      out.strides_.push_back(range.length > 1 ? range.step * strides_[axis] : strides_[axis]);
      ++axis;
    }
  }
  keep(ndim() - axis);
  if (out.size() == 0) out.offset_ = offset_;  // no element to point at: stay inside the storage
  return out;
}

}  // namespace needle
