// Elements by a mask, by index, or by their rank along an axis, and running sums: shapes and
// checks, then one call into the backend.
#include <algorithm>
#include <vector>

#include "detail.h"
#include "streams.h"

namespace needle {
namespace {

void require_device(std::string_view op, const char* what, const NDArray& part, const NDArray& a) {
  if (&part.device() == &a.device()) return;
  throw std::invalid_argument(message(op, "operands must be on one device (use .to())", what,
                                      part.device().repr(), "a.device", a.device().repr()));
}

// A copy of an index into n elements, counted from the start: nobody else can change what has been
// checked. Axes that only repeat stay so.
NDArray checked_index(std::string_view op, const NDArray& index, std::int64_t n) {
  if (index.size() == 0) return index;
  Dims distinct = index.shape();
  for (int d = 0; d < index.ndim(); ++d) distinct[d] = index.strides()[d] == 0 ? 1 : distinct[d];
  const NDArray own = index.as_strided(distinct, index.strides(), index.offset()).copy();
  Backend& backend = *own.device().backend;
  const auto count = static_cast<std::size_t>(own.size());
  std::vector<std::int64_t> fetched;
  auto* places = static_cast<std::int64_t*>(own.data());
  if (backend.host_memory()) {
    backend.synchronize();
  } else {
    forbid_copy_in_capture(op, own.device(), CopyKind::to_host);
    fetched.resize(count);
    backend.copy_bytes(fetched.data(), own.data(), count * sizeof *places, CopyKind::to_host);
    places = fetched.data();
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (places[i] < -n || places[i] >= n) {
      throw std::out_of_range(message(op, "an index must lie in [-n, n), n the size of the axis",
                                      "index", places[i], "n", n));
    }
    if (places[i] < 0) places[i] += n;
  }
  if (!fetched.empty()) {
    backend.copy_bytes(own.data(), places, count * sizeof *places, CopyKind::to_device);
  }
  return own.broadcast_to(index.shape());
}

void require_index(std::string_view op, const NDArray& index, const NDArray& a) {
  if (index.dtype() != DType::int64) {
    throw TypeMismatch(
        message(op, "index must have dtype int64 (use .astype())", "dtype", name(index.dtype())));
  }
  require_device(op, "index.device", index, a);
  if (index.ndim() != a.ndim()) {
    throw std::invalid_argument(message(op, "index must have as many axes as the array",
                                        "index.shape", index.shape().str(), "shape",
                                        a.shape().str()));
  }
}

}  // namespace

NDArray NDArray::where(const NDArray& mask, const NDArray& a, const NDArray& b) {
  detail::require_alike("where", a, b);
  detail::require_computed("where", a);
  if (mask.dtype_ != DType::boolean && mask.dtype_ != a.dtype_) {
    throw TypeMismatch(message("where", "mask must be bool or have the operands' dtype",
                               "mask.dtype", name(mask.dtype_), "a.dtype", name(a.dtype_)));
  }
  require_device("where", "mask.device", mask, a);
  const Dims shape =
      broadcast_shapes("where", mask.shape_, broadcast_shapes("where", a.shape_, b.shape_));
  const NDArray chosen = mask.broadcast_to(shape), first = a.broadcast_to(shape),
                second = b.broadcast_to(shape);
  if (const auto order = detail::common_order(shape, {&chosen, &first, &second})) {
    const NDArray out =
        where(chosen.permute(*order), first.permute(*order), second.permute(*order));
    return out.permute(detail::inverse(*order));
  }
  NDArray out = empty(shape, a.dtype_, a.device());
  if (out.size() > 0) {
    a.device().backend->where(out.view(), chosen.view(), first.view(), second.view());
  }
  return out;
}

NDArray NDArray::take_along_axis(const NDArray& index, std::int64_t axis) const {
  constexpr const char* op = "take_along_axis";
  require_index(op, index, *this);
  const int along = normalize_axis(op, axis, ndim());
  Dims shape = shape_;
  shape[along] = index.shape_[along];
  shape = broadcast_shapes(op, shape, index.shape_);
  Dims source = shape;
  source[along] = shape_[along];
  NDArray out = empty(shape, dtype_, device());
  if (out.size() > 0) {  // of nothing, numpy follows no index
    const NDArray places = checked_index(op, index, shape_[along]);
    device().backend->gather(out.view(), broadcast_to(source).view(),
                             places.broadcast_to(shape).view(), along);
  }
  return out;
}

NDArray NDArray::scatter_add(const NDArray& index, std::int64_t axis, std::int64_t n) const {
  constexpr const char* op = "scatter_add";
  detail::require_computed(op, *this);
  require_index(op, index, *this);
  const int along = normalize_axis(op, axis, ndim());
  if (!(broadcast_shapes(op, shape_, index.shape_) == shape_)) {
    throw std::invalid_argument(message(op, "index must broadcast to the array", "index.shape",
                                        index.shape_.str(), "shape", shape_.str()));
  }
  Dims shape = shape_;
  shape[along] = n;
  const NDArray places = checked_index(op, index, n);
  NDArray out = full(shape, Scalar{0.0, 0, true}, dtype_, device());
  if (size() > 0) {
    device().backend->scatter_add(out.view(), view(), places.broadcast_to(shape_).view(), along);
  }
  return out;
}

NDArray NDArray::cumsum(std::int64_t axis, bool reversed) const {
  detail::require_computed("cumsum", *this);
  const int along = normalize_axis("cumsum", axis, ndim());
  NDArray out = empty(shape_, dtype_, device());
  if (out.size() > 0) device().backend->cumsum(out.view(), view(), along, reversed);
  return out;
}

NDArray NDArray::arg_reduce(ArgOp op, const std::optional<std::int64_t>& axis,
                            bool keepdims) const {
  const char* op_name = name(op);
  detail::require_computed(op_name, *this);
  const NDArray source = axis ? *this : reshape({size()});
  const int along = normalize_axis(op_name, axis.value_or(0), source.ndim());
  Dims kept = source.shape_, dropped;
  kept[along] = 1;
  for (int d = 0; d < source.ndim(); ++d) {
    if (d != along) dropped.push_back(kept[d]);
  }
  NDArray out = empty(kept, DType::int64, device());
  if (out.size() > 0) {
    if (source.size() == 0) {
      throw std::invalid_argument(
          message(op_name, "needs at least one element along the axis", "shape", shape_.str()));
    }
    device().backend->arg_reduce(op, out.view(), source.view(), along);
  }
  if (!axis && keepdims) {
    Dims ones = shape_;
    for (int d = 0; d < ndim(); ++d) ones[d] = 1;
    return out.reshape(ones);
  }
  return keepdims ? out : out.reshape(dropped);
}

}  // namespace needle
