// What is computed over rows: shapes and checks, then one call into the backend.
#include <cmath>

#include "detail.h"
#include "row_layout.h"

namespace needle {
namespace {

// A bit for each axis, all for nullopt.
unsigned row_axes(std::string_view op, const std::optional<Dims>& axes, int ndim) {
  if (!axes) return (1u << ndim) - 1u;
  unsigned bits = 0;
  for (const std::int64_t axis : normalize_axes(op, *axes, ndim)) bits |= 1u << axis;
  return bits;
}

// The shape with size 1 at the axes.
Dims kept(const Dims& shape, unsigned along) {
  Dims result = shape;
  for (int d = 0; d < shape.size(); ++d) result[d] = (along >> d & 1u) != 0 ? 1 : shape[d];
  return result;
}

// A weight or bias, or nothing, as a kernel over the rows of x (compact) takes it.
NDArray of_rows(std::string_view op, const char* what, const NDArray* w, const NDArray& x,
                unsigned along) {
  if (w == nullptr) return NDArray();
  detail::require_alike(op, x, *w);
  Dims shape, places = x.shape();
  for (int d = w->ndim(); d < x.ndim(); ++d) shape.push_back(1);
  for (int d = 0; d < w->ndim() && shape.size() < x.ndim(); ++d) shape.push_back(w->shape()[d]);
  for (int d = 0; d < x.ndim(); ++d) places[d] = (along >> d & 1u) != 0 ? places[d] : 1;
  const RowLayout rows = make_rows(x.view(), along);
  const bool last = rows.beside == 1 && rows.n_reduced == 1;
  if (w->ndim() > x.ndim() || !(shape == kept(x.shape(), along) || (last && shape == places))) {
    throw std::invalid_argument(message(
        op, "weight and bias have one element for each row, or for each place in rows of last axes",
        what, w->shape().str(), "x.shape", x.shape().str()));
  }
  return w->reshape(shape).compact();
}

// The axes of bits `along`, in an array whose axes are permuted by order.
Dims permuted_axes(unsigned along, const Dims& order) {
  Dims axes;
  for (int d = 0; d < order.size(); ++d) {
    if ((along >> order[d] & 1u) != 0) axes.push_back(d);
  }
  return axes;
}

View view_or_none(const NDArray& a) { return a.storage().get() == nullptr ? View{} : a.view(); }

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

std::array<NDArray, 4> NDArray::standardize(const std::optional<Dims>& axes, double eps,
                                            const NDArray* weight, const NDArray* bias) const {
  constexpr const char* op = "standardize";
  detail::require_computed(op, *this);
  if ((weight == nullptr) != (bias == nullptr)) {
    throw std::invalid_argument(message(op, "weight and bias are given together", "given",
                                        weight != nullptr ? "weight" : "bias"));
  }
  const unsigned along = row_axes(op, axes, ndim());
  const auto order = detail::common_order(shape_, {this});
  const auto by_row = [&](const NDArray* v) {
    return v == nullptr || v->shape_ == kept(shape_, along);
  };
  if (order && by_row(weight) && by_row(bias)) {  // in the order of x's memory
    const auto turned = [&](const NDArray* v) { return v ? v->permute(*order) : NDArray(); };
    const NDArray w = turned(weight), b = turned(bias);
    std::array<NDArray, 4> out = permute(*order).standardize(
        permuted_axes(along, *order), eps, weight ? &w : nullptr, bias ? &b : nullptr);
    for (NDArray& a : out) a = a.permute(detail::inverse(*order));
    return out;
  }
  const NDArray x = compact(), w = of_rows(op, "weight.shape", weight, x, along),
                b = of_rows(op, "bias.shape", bias, x, along);
  if (weight != nullptr && !(w.shape_ == b.shape_)) {
    throw std::invalid_argument(message(op, "weight and bias have one shape", "weight.shape",
                                        weight->shape_.str(), "bias.shape", bias->shape_.str()));
  }
  const DType precise = dtype_ == DType::float64 ? dtype_ : DType::float32;
  const Dims shape = kept(shape_, along);
  std::array<NDArray, 4> out{empty(shape_, dtype_, device())};
  for (std::size_t i = 1; i < 4; ++i) out[i] = empty(shape, precise, device());
  Backend& backend = *device().backend;
  if (size() > 0) {
    backend.standardize({out[0].view(), out[1].view(), out[2].view(), out[3].view()}, x.view(),
                        view_or_none(w), view_or_none(b), along, eps);
  } else if (out[1].size() > 0) {  // of no elements
    for (std::size_t i = 1; i < 4; ++i) {
      backend.fill(out[i].view(), Scalar{i < 3 ? 0.0 : 1 / std::sqrt(eps), 0, false});
    }
  }
  return out;
}

std::array<NDArray, 3> NDArray::standardize_grad(const NDArray& dy, const NDArray& x,
                                                 const NDArray& mean, const NDArray& inverse,
                                                 const NDArray* weight,
                                                 const std::optional<Dims>& axes, bool sums) {
  constexpr const char* op = "standardize_grad";
  detail::require_alike(op, dy, x);
  detail::require_alike(op, mean, inverse);
  detail::require_computed(op, x);
  const unsigned along = row_axes(op, axes, x.ndim());
  const Dims shape = kept(x.shape_, along);
  const DType precise = x.dtype_ == DType::float64 ? x.dtype_ : DType::float32;
  if (!(dy.shape_ == x.shape_ && mean.shape_ == shape && inverse.shape_ == shape &&
        mean.dtype_ == precise && &mean.device() == &x.device())) {
    throw std::invalid_argument(
        message(op, "dy has the shape of x, mean and inverse are what standardize gives", "x.shape",
                x.shape_.str(), "dy.shape", dy.shape_.str(), "mean.shape", mean.shape_.str()));
  }
  const auto order = detail::common_order(x.shape_, {&x});
  if (order && (weight == nullptr || weight->shape_ == shape)) {  // in the order of x's memory
    const NDArray w = weight ? weight->permute(*order) : NDArray();
    std::array<NDArray, 3> out = standardize_grad(
        dy.permute(*order), x.permute(*order), mean.permute(*order), inverse.permute(*order),
        weight ? &w : nullptr, permuted_axes(along, *order), sums);
    for (NDArray& a : out) {
      if (a.storage_.get() != nullptr) a = a.permute(detail::inverse(*order));
    }
    return out;
  }
  const NDArray source = x.compact(), w = of_rows(op, "weight.shape", weight, source, along);
  Backend& backend = *x.device().backend;
  std::array<NDArray, 3> out{empty(x.shape_, x.dtype_, x.device())};
  const bool at_once = sums && backend.sums_in_gradient() && x.size() > 0;
  for (std::size_t i = 1; i < 3 && at_once; ++i) out[i] = empty(w.shape_, x.dtype_, x.device());
  if (x.size() > 0) {
    backend.standardize_grad({out[0].view(), view_or_none(out[1]), view_or_none(out[2])},
                             dy.compact().view(), source.view(), mean.compact().view(),
                             inverse.compact().view(), view_or_none(w), along);
  }
  if (sums && !at_once) {
    const auto as = [](const NDArray& a, DType dtype) {
      return a.dtype_ == dtype ? a : a.astype(dtype);
    };
    const NDArray g = as(dy, precise), centred = binary(BinaryOp::subtract, as(x, precise), mean);
    const NDArray y = binary(BinaryOp::multiply, centred, inverse);
    Dims over;
    for (int d = 0; d < x.ndim(); ++d) {
      if (w.shape_[d] == 1) over.push_back(d);
    }
    const auto sum = [&](const NDArray& a) {
      return as(a.reduce(ReduceOp::sum, over, true), x.dtype_);
    };
    out[1] = sum(binary(BinaryOp::multiply, g, y));
    out[2] = sum(g);
  }
  for (std::size_t i = 1; i < 3 && sums; ++i) out[i] = out[i].reshape(weight->shape_);
  return out;
}

}  // namespace needle
