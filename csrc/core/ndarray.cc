// NDArray: construction, properties, and the checks that writes and computations share.
#include "ndarray.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "detail.h"

namespace needle {

void detail::require_representable(Scalar value, DType dtype) {
  if (dtype != DType::int32 && dtype != DType::int64) return;
  const bool narrow = dtype == DType::int32;
  bool fits = true;
  if (value.integral) {
    fits = !narrow || (value.integer >= std::numeric_limits<std::int32_t>::min() &&
                       value.integer <= std::numeric_limits<std::int32_t>::max());
  } else {
    const double limit = narrow ? 0x1p31 : 0x1p63;
    fits = value.real >= -limit && value.real < limit && value.real == std::trunc(value.real);
  }
  if (fits) return;
  throw std::invalid_argument(
      message("fill", "value must be a whole number in the range of the dtype", "value",
              value.integral ? std::to_string(value.integer) : std::to_string(value.real), "dtype",
              name(dtype)));
}

NDArray::NDArray(StorageRef storage, const Dims& shape, DType dtype)
    : storage_(std::move(storage)),
      shape_(shape),
      strides_(compact_strides(shape)),
      dtype_(dtype) {}

NDArray NDArray::empty(const Dims& shape, DType dtype, Device& device) {
  const auto size = static_cast<std::size_t>(detail::checked_size("empty", shape, dtype));
  return {StorageRef(device.allocator.allocate(size * itemsize(dtype))), shape, dtype};
}

NDArray NDArray::full(const Dims& shape, Scalar value, DType dtype, Device& device) {
  detail::require_representable(value, dtype);
  NDArray out = empty(shape, dtype, device);
  if (out.size() > 0) device.backend->fill(out.view(), value);
  return out;
}

NDArray NDArray::foreign(void* data, const Dims& shape, const Dims& strides, DType dtype,
                         Device& device, bool writable, std::function<void()> release) {
  if (shape.size() != strides.size()) {
    throw std::invalid_argument(message("foreign", "shape and strides must have one length",
                                        "shape", shape.str(), "strides", strides.str()));
  }
  const auto item = static_cast<std::int64_t>(itemsize(dtype));
  if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(item) != 0) {
    throw std::invalid_argument(message(
        "foreign", "memory must be aligned to its dtype (copy it first)", "dtype", name(dtype)));
  }
  detail::Reach range;
  std::int64_t bytes = 0;
  if (detail::checked_size("foreign", shape, dtype) > 0) {
    std::int64_t count = 0;
    const bool fits = detail::reach(shape, strides, range) &&
                      !__builtin_sub_overflow(range.high, range.low, &count) &&
                      !__builtin_add_overflow(count, 1, &count) &&
                      !__builtin_mul_overflow(count, item, &bytes);
    if (!fits || data == nullptr) {
      throw std::invalid_argument(message("foreign", "strides must stay inside the address space",
                                          "shape", shape.str(), "strides", strides.str()));
    }
  }
  auto* storage = new Storage;
  storage->device = &device;
  storage->data = static_cast<char*>(data) + range.low * item;
  storage->bytes = static_cast<std::size_t>(bytes);
  storage->release = release ? std::move(release) : [] {};
  storage->writable = writable;
  NDArray out{StorageRef(storage), shape, dtype};
  out.offset_ = -range.low;
  if (bytes > 0) out.strides_ = strides;
  return out;
}

std::int64_t NDArray::size() const { return detail::product(shape_); }

bool NDArray::is_compact() const {
  return needle::is_compact(ndim(), shape_.begin(), strides_.begin());
}

bool NDArray::overlaps_itself() const {
  // Elements lie apart when, by rising stride, each stride is longer than everything that the
  // shorter ones span. True of every view of a compact array; as_strided can make others, and a few
  // of those are refused needlessly.
  struct Axis {
    std::int64_t stride, span;
  };
  std::array<Axis, kMaxDims> axes{};
  std::size_t n = 0;
  for (int i = 0; i < ndim(); ++i) {
    if (shape_[i] == 0) return false;
    if (shape_[i] == 1) continue;
    const std::int64_t stride = strides_[i] < 0 ? -strides_[i] : strides_[i];
    std::size_t at = n++;
    for (; at > 0 && axes[at - 1].stride > stride; --at) axes[at] = axes[at - 1];
    axes[at] = {stride, stride * (shape_[i] - 1)};
  }
  std::int64_t spanned = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (axes[i].stride <= spanned) return true;
    spanned += axes[i].span;
  }
  return false;
}

void* NDArray::data() const {
  return static_cast<char*>(storage_->data) + offset_ * static_cast<std::int64_t>(itemsize(dtype_));
}

View NDArray::view() const {
  storage_->device->allocator.note_use(storage_.get());
  View v;
  v.data = data();
  v.dtype = dtype_;
  v.ndim = ndim();
  std::copy(shape_.begin(), shape_.end(), v.shape);
  std::copy(strides_.begin(), strides_.end(), v.strides);
  return v;
}

void NDArray::fill(Scalar value) {
  require_writable("fill");
  detail::require_representable(value, dtype_);
  if (size() > 0) device().backend->fill(view(), value);
}

namespace detail {

void require_computed(std::string_view op, const NDArray& a) {
  if (a.device().backend->computes(a.dtype())) return;
  const std::vector<DType> computed = a.device().computed_dtypes();
  std::string rule = "computes in ";
  for (std::size_t i = 0; i < computed.size(); ++i) {
    rule += i == 0 ? "" : i + 1 < computed.size() ? ", " : " and ";
    rule += name(computed[i]);
  }
  throw TypeMismatch(message(op, rule + " (use .astype())", "dtype", name(a.dtype()), "device",
                             a.device().repr()));
}

void require_alike(std::string_view op, const NDArray& a, const NDArray& b) {
  if (&a.device() != &b.device()) {
    throw std::invalid_argument(message(op, "operands must be on one device (use .to())",
                                        "a.device", a.device().repr(), "b.device",
                                        b.device().repr()));
  }
  if (a.dtype() != b.dtype()) {
    throw TypeMismatch(message(op, "operands must have one dtype (use .astype())", "a.dtype",
                               name(a.dtype()), "b.dtype", name(b.dtype())));
  }
}

}  // namespace detail

void NDArray::require_writable(std::string_view op) const {
  if (!storage_->writable) {
    throw std::invalid_argument(
        message(op, "read-only memory cannot be written (use .copy())", "shape", shape_.str()));
  }
  if (overlaps_itself()) {
    throw std::invalid_argument(
        message(op, "elements that share memory cannot be written (use .copy())", "shape",
                shape_.str(), "strides", strides_.str()));
  }
}

}  // namespace needle
