// Copies, casts, transfers between devices, and assignment.
#include <cstring>
#include <memory>

#include "detail.h"
#include "streams.h"

namespace needle {
namespace {

// The bytes that an array's elements lie in. The array is not empty.
struct ByteRange {
  const char *begin, *end;
};

ByteRange byte_range(const NDArray& a) {
  detail::Reach range;
  detail::reach(a.shape(), a.strides(), range);  // cannot overflow: the elements exist
  const auto item = static_cast<std::int64_t>(itemsize(a.dtype()));
  const char* first = static_cast<const char*>(a.data());
  return {first + range.low * item, first + (range.high + 1) * item};
}

}  // namespace

bool detail::may_overlap(const NDArray& a, const NDArray& b) {
  const ByteRange p = byte_range(a), q = byte_range(b);
  return p.begin < q.end && q.begin < p.end;
}

NDArray NDArray::compact() const { return is_compact() ? *this : copy(); }

NDArray NDArray::copy() const { return astype(dtype_); }

NDArray NDArray::astype(DType dtype) const {
  NDArray out = empty(shape_, dtype, device());
  if (out.size() > 0) device().backend->copy(out.view(), view());
  return out;
}

NDArray NDArray::to(Device& target) const {
  Device& home = device();
  if (&target == &home) return *this;
  const NDArray source = compact();
  NDArray out = empty(shape_, dtype_, target);
  const std::size_t bytes = static_cast<std::size_t>(size()) * itemsize(dtype_);
  if (bytes == 0) return out;
  forbid_copy_in_capture("to", home, CopyKind::to_host);
  forbid_copy_in_capture("to", target, CopyKind::to_device);
  const bool from_host = home.backend->host_memory(), to_host = target.backend->host_memory();
  if (from_host) home.backend->synchronize();
  if (from_host && to_host) {
    std::memcpy(out.data(), source.data(), bytes);
  } else if (from_host) {
    target.backend->copy_bytes(out.data(), source.data(), bytes, CopyKind::to_device);
  } else if (to_host) {
    home.backend->copy_bytes(out.data(), source.data(), bytes, CopyKind::to_host);
  } else if (home.name == target.name && home.backend->runtime() != nullptr) {
    home.allocator.note_use(source.storage().get());
    target.allocator.note_use(out.storage().get());
    target.backend->runtime()->copy_from(*home.backend->runtime(), out.data(), source.data(),
                                         bytes);
  } else {
    const auto between = std::make_unique_for_overwrite<char[]>(bytes);
    home.backend->copy_bytes(between.get(), source.data(), bytes, CopyKind::to_host);
    target.backend->copy_bytes(out.data(), between.get(), bytes, CopyKind::to_device);
  }
  return out;
}

void NDArray::assign(const NDArray& source) {
  detail::require_alike("setitem", *this, source);
  require_writable("setitem");
  NDArray values = source;
  while (values.ndim() > ndim() && values.shape_[0] == 1) values = values.squeeze({0});  // as numpy
  if (!(broadcast_shapes("setitem", shape_, values.shape_) == shape_)) {
    throw std::invalid_argument(message("setitem", "values must broadcast to the target",
                                        "values.shape", source.shape_.str(), "shape",
                                        shape_.str()));
  }
  if (size() > 0 && values.size() > 0 && detail::may_overlap(*this, values)) values = values.copy();
  values = values.broadcast_to(shape_);
  if (size() > 0) device().backend->copy(view(), values.view());
}

}  // namespace needle
