// Computation: shape inference, broadcasting and checks, then one call into the backend.
#include <algorithm>

#include "detail.h"

namespace needle {

NDArray NDArray::unary(UnaryOp op) const {
  detail::require_computed(name(op), *this);
  if (const auto order = detail::common_order(shape_, {this})) {
    return permute(*order).unary(op).permute(detail::inverse(*order));
  }
  NDArray out = empty(shape_, dtype_, device());
  if (out.size() > 0) device().backend->unary(op, out.view(), view());
  return out;
}

NDArray NDArray::binary(BinaryOp op, const NDArray& a, const NDArray& b) {
  const char* op_name = name(op);
  detail::require_alike(op_name, a, b);
  detail::require_computed(op_name, a);
  Backend& backend = *a.device().backend;
  if (a.shape_ == b.shape_) {
    if (const auto order = detail::common_order(a.shape_, {&a, &b})) {
      return binary(op, a.permute(*order), b.permute(*order)).permute(detail::inverse(*order));
    }
    NDArray out = empty(a.shape_, a.dtype_, a.device());
    if (out.size() > 0) backend.binary(op, out.view(), a.view(), b.view());
    return out;
  }
  const Dims shape = broadcast_shapes(op_name, a.shape_, b.shape_);
  const NDArray left = a.broadcast_to(shape), right = b.broadcast_to(shape);
  if (detail::common_order(shape, {&left, &right})) return binary(op, left, right);
  NDArray out = empty(shape, a.dtype_, a.device());
  if (out.size() > 0) backend.binary(op, out.view(), left.view(), right.view());
  return out;
}

NDArray NDArray::accumulate(const NDArray& other) const {
  constexpr const char* op = "accumulate";
  detail::require_alike(op, *this, other);
  detail::require_computed(op, *this);
  if (!(shape_ == other.shape_)) {
    throw std::invalid_argument(message(op, "both have one shape", "other.shape",
                                        other.shape_.str(), "shape", shape_.str()));
  }
  const bool in_place = size() > 0 && device().backend->adds_in_place() && is_compact() &&
                        storage_->writable && !detail::may_overlap(*this, other);
  if (!in_place) return binary(BinaryOp::add, *this, other);
  device().backend->binary(BinaryOp::add, view(), view(), other.view());
  return *this;
}

NDArray NDArray::binary_scalar(BinaryOp op, double scalar, bool reversed) const {
  detail::require_computed(name(op), *this);
  if (const auto order = detail::common_order(shape_, {this})) {
    const NDArray out = permute(*order).binary_scalar(op, scalar, reversed);
    return out.permute(detail::inverse(*order));
  }
  NDArray out = empty(shape_, dtype_, device());
  if (out.size() > 0) device().backend->binary_scalar(op, out.view(), view(), scalar, reversed);
  return out;
}

NDArray NDArray::clip(double low, double high) const {
  detail::require_computed("clip", *this);
  if (low != low || high != high) {
    throw std::invalid_argument(message("clip", "bounds are numbers", "low", low, "high", high));
  }
  if (const auto order = detail::common_order(shape_, {this})) {
    return permute(*order).clip(low, high).permute(detail::inverse(*order));
  }
  NDArray out = empty(shape_, dtype_, device());
  if (out.size() > 0) device().backend->clip(out.view(), view(), low, high);
  return out;
}

NDArray NDArray::reduce(ReduceOp op, const std::optional<Dims>& axes, bool keepdims) const {
  const char* op_name = name(op);
  detail::require_computed(op_name, *this);
  unsigned reduced = (1u << ndim()) - 1u;
  if (axes) {
    reduced = 0;
    for (const std::int64_t axis : normalize_axes(op_name, *axes, ndim())) reduced |= 1u << axis;
  }
  Dims kept = shape_, dropped;
  std::int64_t each = 1;  // elements that go into one result
  for (int i = 0; i < ndim(); ++i) {
    if ((reduced >> i & 1u) != 0) {
      each *= shape_[i];
      kept[i] = 1;
    } else {
      dropped.push_back(shape_[i]);
    }
  }
  NDArray out = empty(kept, dtype_, device());
  if (out.size() > 0) {
    if (each > 0) {
      device().backend->reduce(op, out.view(), view());
    } else if (op == ReduceOp::sum || op == ReduceOp::prod) {
      device().backend->fill(out.view(), Scalar{0.0, op == ReduceOp::prod, true});
    } else {
      throw std::invalid_argument(message(
          op_name, "needs at least one element along the reduced axes", "shape", shape_.str()));
    }
  }
  if (!keepdims) {
    out.shape_ = dropped;
    out.strides_ = compact_strides(dropped);
  }
  return out;
}

NDArray NDArray::matmul(const NDArray& a, const NDArray& b) {
  detail::require_alike("matmul", a, b);
  detail::require_computed("matmul", a);
  const auto mismatch = [&](const char* rule) {
    return std::invalid_argument(
        message("matmul", rule, "a.shape", a.shape_.str(), "b.shape", b.shape_.str()));
  };
  if (a.ndim() == 0 || b.ndim() == 0)
    throw mismatch("operands must have at least one axis (use * for scalars)");
  // A 1-d operand is a row on the left and a column on the right; its axis is dropped from the
  // result.
  const bool row = a.ndim() == 1, column = b.ndim() == 1;
  NDArray left = row ? a.reshape({1, a.shape_[0]}) : a;
  NDArray right = column ? b.reshape({b.shape_[0], 1}) : b;
  const std::int64_t inner = left.shape_[left.ndim() - 1];
  if (inner != right.shape_[right.ndim() - 2]) {
    throw mismatch("the last axis of a must match the last but one of b");
  }
  const std::int64_t rows = left.shape_[left.ndim() - 2], columns = right.shape_[right.ndim() - 1];
  Dims batch;
  if (left.ndim() > 2 || right.ndim() > 2) {
    const auto leading = [](const Dims& shape) {
      return Dims(std::span(shape.begin(), static_cast<std::size_t>(shape.size() - 2)));
    };
    try {
      batch = broadcast_shapes("matmul", leading(left.shape_), leading(right.shape_));
    } catch (const std::invalid_argument&) {
      throw mismatch("the axes before the last two must broadcast");
    }
    const auto spread = [&](const NDArray& x) {
      Dims shape = batch;
      shape.push_back(x.shape_[x.ndim() - 2]);
      shape.push_back(x.shape_[x.ndim() - 1]);
      return x.broadcast_to(shape);
    };
    left = spread(left);
    right = spread(right);
  }
  Dims shape = batch;
  shape.push_back(rows);
  shape.push_back(columns);
  NDArray out = empty(shape, a.dtype_, a.device());
  if (out.size() > 0) {
    if (inner > 0) {
      a.device().backend->matmul(out.view(), left.view(), right.view());
    } else {
      a.device().backend->fill(out.view(), Scalar{0.0, 0, true});
    }
  }
  if (row || column) {
    if (!row) batch.push_back(rows);
    if (!column) batch.push_back(columns);
    out.shape_ = batch;
    out.strides_ = compact_strides(batch);
  }
  return out;
}

}  // namespace needle
