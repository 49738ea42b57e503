// Arrays beside each other, and values around one: one allocation, then a copy of each part to its
// place.
#include <string>

#include "detail.h"

namespace needle {
namespace {

// Of an array: its elements from `first` on along an axis, `n` of them.
View part_of(const NDArray& out, int axis, std::int64_t first, std::int64_t n) {
  View view = out.view();
  view.data = static_cast<char*>(view.data) +
              first * view.strides[axis] * static_cast<std::int64_t>(itemsize(view.dtype));
  view.shape[axis] = n;
  return view;
}

void require_one(std::string_view op, std::span<const NDArray* const> parts) {
  if (parts.empty()) {
    throw std::invalid_argument(message(op, "at least one array is needed", "n", 0));
  }
}

// ValueError unless the shapes are equal, but for one axis (none where it is -1).
void require_shapes(std::string_view op, const char* rule, std::span<const NDArray* const> parts,
                    int but) {
  bool agree = true;
  for (const NDArray* part : parts) {
    Dims shape = part->shape();
    if (but >= 0 && shape.size() == parts[0]->ndim()) shape[but] = parts[0]->shape()[but];
    agree = agree && shape == parts[0]->shape();
  }
  if (agree) return;
  std::string shapes;
  for (const NDArray* part : parts) shapes += (shapes.empty() ? "[" : ", ") + part->shape().str();
  shapes += "]";
  throw std::invalid_argument(but < 0 ? message(op, rule, "shapes", shapes)
                                      : message(op, rule, "shapes", shapes, "axis", but));
}

void require_alike(std::string_view op, std::span<const NDArray* const> parts) {
  for (const NDArray* part : parts) detail::require_alike(op, *parts[0], *part);
}

}  // namespace

NDArray NDArray::concatenate(std::span<const NDArray* const> parts, std::int64_t axis) {
  constexpr const char* op = "concatenate";
  require_one(op, parts);
  const NDArray& first = *parts[0];
  const int along = normalize_axis(op, axis, first.ndim());
  require_shapes(op, "shapes agree but for the axis", parts, along);
  require_alike(op, parts);
  Dims shape = first.shape_;
  for (const NDArray* part : parts.subspan(1)) {
    if (__builtin_add_overflow(shape[along], part->shape_[along], &shape[along])) {
      throw std::invalid_argument(message(op, "sizes are too large", "axis", along));
    }
  }
  NDArray out = empty(shape, first.dtype_, first.device());
  std::int64_t at = 0;
  for (const NDArray* part : parts) {
    const std::int64_t n = part->shape_[along];
    if (part->size() > 0) out.device().backend->copy(part_of(out, along, at, n), part->view());
    at += n;
  }
  return out;
}

NDArray NDArray::stack(std::span<const NDArray* const> parts, std::int64_t axis) {
  constexpr const char* op = "stack";
  require_one(op, parts);
  const NDArray& first = *parts[0];
  const int along = normalize_axis(op, axis, first.ndim() + 1);
  require_shapes(op, "shapes must be equal", parts, -1);
  require_alike(op, parts);
  Dims shape;
  for (int d = 0; d <= first.ndim(); ++d) {
    if (d == along) shape.push_back(static_cast<std::int64_t>(parts.size()));
    if (d < first.ndim()) shape.push_back(first.shape_[d]);
  }
  NDArray out = empty(shape, first.dtype_, first.device());
  if (out.size() == 0) return out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    View place = part_of(out, along, static_cast<std::int64_t>(i), 1);
    --place.ndim;
    for (int d = along; d < place.ndim; ++d) {
      place.shape[d] = place.shape[d + 1];
      place.strides[d] = place.strides[d + 1];
    }
    out.device().backend->copy(place, parts[i]->view());
  }
  return out;
}

NDArray NDArray::pad(const Dims& before, const Dims& after, Scalar value) const {
  Dims shape = shape_;
  for (int d = 0; d < ndim(); ++d) {
    if (__builtin_add_overflow(shape[d], before[d], &shape[d]) ||
        __builtin_add_overflow(shape[d], after[d], &shape[d])) {
      throw std::invalid_argument(
          message("pad", "sizes are too large", "before", before.str(), "after", after.str()));
    }
  }
  detail::require_representable(value, dtype_);
  if (size() == 0) return full(shape, value, dtype_, device());
  NDArray out = empty(shape, dtype_, device());
  Backend& backend = *device().backend;
  // What is before and behind along the first axis; of the rest what is along the second, ...
  NDArray middle = out;
  for (int d = 0; d < ndim(); ++d) {
    if (before[d] > 0) backend.fill(part_of(middle, d, 0, before[d]), value);
    if (after[d] > 0) backend.fill(part_of(middle, d, before[d] + shape_[d], after[d]), value);
    middle.offset_ += before[d] * middle.strides_[d];
    middle.shape_[d] = shape_[d];
  }
  backend.copy(middle.view(), view());
  return out;
}

}  // namespace needle
