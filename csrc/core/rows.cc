// What is computed over rows: shapes and checks, then one call into the backend.
#include "detail.h"

namespace needle {
namespace {

// A bit for each axis, all for nullopt.
unsigned row_axes(std::string_view op, const std::optional<Dims>& axes, int ndim) {
  if (!axes) return (1u << ndim) - 1u;
  unsigned bits = 0;
  for (const std::int64_t axis : normalize_axes(op, *axes, ndim)) bits |= 1u << axis;
  return bits;
}

}  // namespace

NDArray NDArray::softmax(SoftmaxOp op, const std::optional<Dims>& axes, bool keepdims) const {
  detail::require_computed(name(op), *this);
  const unsigned along = row_axes(name(op), axes, ndim());
  Dims shape = shape_, dropped;
  for (int d = 0; op == SoftmaxOp::logsumexp && d < ndim(); ++d) {
    if ((along >> d & 1u) != 0) {
      shape[d] = 1;
    } else {
      dropped.push_back(shape_[d]);
    }
  }
  NDArray out = empty(shape, dtype_, device());
  if (size() > 0) {
    device().backend->softmax(op, out.view(), compact().view(), along);
  } else if (out.size() > 0) {  // of no elements
    device().backend->fill(out.view(), Scalar{-__builtin_inf(), 0, false});
  }
  return op == SoftmaxOp::logsumexp && !keepdims ? out.reshape(dropped) : out;
}

NDArray NDArray::softmax_grad(SoftmaxOp op, const NDArray& y, const NDArray& dy,
                              const std::optional<Dims>& axes) {
  const char* op_name = op == SoftmaxOp::softmax ? "softmax_grad" : "logsoftmax_grad";
  detail::require_alike(op_name, y, dy);
  detail::require_computed(op_name, y);
  if (!(y.shape_ == dy.shape_)) {
    throw std::invalid_argument(message(op_name, "y and dy have one shape", "y.shape",
                                        y.shape_.str(), "dy.shape", dy.shape_.str()));
  }
  const unsigned along = row_axes(op_name, axes, y.ndim());
  NDArray out = empty(y.shape_, y.dtype_, y.device());
  if (out.size() > 0) {
    y.device().backend->softmax_grad(op, out.view(), y.compact().view(), dy.compact().view(),
                                     along);
  }
  return out;
}

}  // namespace needle
