// NDArray: a value that refers to shared storage through shape, strides and offset. All view
// algebra and all shape, dtype and aliasing checks live here, once for every device; backends only
// see Views that are right.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "allocator.h"
#include "backend.h"
#include "errors.h"

namespace needle {

// A device: one backend instance, its allocator, and the Python object that stands for it (owned by
// the binding).
struct Device {
  std::string name;  // "cpu", "cpu_numpy", "cuda", "cuda_sim"
  int index;         // 0, 1, ... among devices of that name
  Backend* backend;
  Allocator allocator;
  void* face = nullptr;

  Device(std::string device_name, int device_index, Backend* device_backend);
  std::string repr() const;                    // "cpu()", "cuda(1)"
  std::vector<DType> computed_dtypes() const;  // float32, float64, and what the backend adds
};

// Registered devices live as long as the process; registering a name and index twice is an error.
Device& register_device(const std::string& name, int index, Backend* backend);
Device* find_device(const std::string& name, int index);

// Shape, strides or axes: at most kMaxDims numbers, inline.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<std::int64_t> values);
  explicit Dims(std::span<const std::int64_t> values);  // ValueError above kMaxDims
  int size() const { return size_; }
  std::int64_t& operator[](int i) { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t operator[](int i) const { return values_[static_cast<std::size_t>(i)]; }
  const std::int64_t* begin() const { return values_.data(); }
  const std::int64_t* end() const { return values_.data() + size_; }
  void push_back(std::int64_t value);
  bool operator==(const Dims& other) const;
  std::string str() const;  // "(2, 3)", "(2,)", "()"

 private:
  std::array<std::int64_t, kMaxDims> values_{};
  int size_ = 0;
};

// One item of an index expression: an integer (drops its axis), a slice as Python's (bounds already
// None or int), a new axis, or an ellipsis.
struct IndexItem {
  enum class Kind : std::uint8_t { integer, slice, newaxis, ellipsis } kind;
  std::int64_t integer = 0;
  std::optional<std::int64_t> start, stop, step;
};

class NDArray;

// What a parameter's step is of. velocity: nullptr without momentum
struct SgdArrays {
  const NDArray *p, *grad, *velocity;
};
struct AdamArrays {
  const NDArray *p, *grad, *first, *second;
};

class NDArray {
 public:
  NDArray() = default;

  // --- construction
  static NDArray empty(const Dims& shape, DType dtype,
                       Device& device);  // ValueError on negative sizes or overflow
  static NDArray full(const Dims& shape, Scalar value, DType dtype, Device& device);
  // Wraps foreign memory without a copy. data points at element (0, 0, ...); the array's storage is
  // the range that shape and strides reach from there. When this throws, release is not called: the
  // caller still owns the memory.
  static NDArray foreign(void* data, const Dims& shape, const Dims& strides, DType dtype,
                         Device& device, bool writable, std::function<void()> release);

  // --- properties
  int ndim() const { return shape_.size(); }
  const Dims& shape() const { return shape_; }
  const Dims& strides() const { return strides_; }  // in elements
  std::int64_t offset() const { return offset_; }   // in elements
  std::int64_t size() const;
  DType dtype() const { return dtype_; }
  Device& device() const { return *storage_->device; }
  const StorageRef& storage() const { return storage_; }
  bool is_compact() const;  // row-major without gaps (any offset)
  bool overlaps_itself()
      const;  // two indices may share an element: broadcast, or windows made by as_strided
  // ValueError unless the array may be written: memory that is not read-only, every element at a
  // place of its own.
  void require_writable(std::string_view op) const;
  void* data() const;  // first element
  View view() const;

  // --- views: share storage, never copy unless said; negative axes count from the end
  NDArray reshape(const Dims& shape)
      const;  // one -1 allowed; copies only where no view can express it, as numpy
  NDArray permute(const Dims& axes) const;
  NDArray transpose(std::int64_t axis1, std::int64_t axis2) const;
  NDArray broadcast_to(const Dims& shape) const;
  NDArray flip(const Dims& axes) const;
  NDArray squeeze(const Dims& axes) const;
  // offset counts from the start of the storage, in elements; ValueError when an element would lie
  // outside of it
  NDArray as_strided(const Dims& shape, const Dims& strides, std::int64_t offset) const;
  NDArray index(std::span<const IndexItem> items)
      const;  // IndexError out of range; slices clamp as in Python

  // --- copies and writes
  NDArray compact() const;             // *this when compact, otherwise a copy
  NDArray copy() const;                // always a fresh compact array
  NDArray astype(DType dtype) const;   // always a fresh compact array
  NDArray to(Device& device) const;    // *this when already there
  void assign(const NDArray& source);  // broadcasts; converts nothing: dtypes and devices must
                                       // agree; overlap is safe
  void fill(Scalar value);  // ValueError on views that overlap themselves, read-only memory
  // Fresh arrays of parts, any dtype. Along an axis that there is, or (stack) a new one of the
  // result's; TypeError, ValueError unless dtypes, devices and other sizes agree.
  static NDArray concatenate(std::span<const NDArray* const> parts, std::int64_t axis);
  static NDArray stack(std::span<const NDArray* const> parts, std::int64_t axis);
  // This array with so many values before and after it along each axis.
  NDArray pad(const Dims& before, const Dims& after, Scalar value) const;

  // --- computation; results are fresh arrays, compact ones but of elementwise ops and where, whose
  // results lie as their operands do where these agree (layout.cc); TypeError unless float32 or
  // float64 (both of one dtype),
  //     ValueError on shapes or devices that do not fit
  NDArray unary(UnaryOp op) const;
  static NDArray binary(BinaryOp op, const NDArray& a, const NDArray& b);
  // this + other, in this array's memory where that can be: for who owns it alone
  NDArray accumulate(const NDArray& other) const;
  NDArray binary_scalar(BinaryOp op, double scalar, bool reversed) const;
  NDArray clip(double low, double high) const;
  NDArray reduce(ReduceOp op, const std::optional<Dims>& axes,
                 bool keepdims) const;  // nullopt: all axes
  // mask, a and b broadcast; the mask is bool or of the operands' dtype
  static NDArray where(const NDArray& mask, const NDArray& a, const NDArray& b);
  // index: int64, from the end where negative, IndexError out of range. As numpy's: index and
  // array have one rank and broadcast over the other axes. Any dtype.
  NDArray take_along_axis(const NDArray& index, std::int64_t axis) const;
  // Its adjoint: zeros, of size n along axis, with every element added where index (which
  // broadcasts to this array) says.
  NDArray scatter_add(const NDArray& index, std::int64_t axis, std::int64_t n) const;
  NDArray cumsum(std::int64_t axis, bool reversed) const;
  NDArray arg_reduce(ArgOp op, const std::optional<std::int64_t>& axis,
                     bool keepdims) const;  // nullopt: in row-major order of all; gives int64
  // softmax and logsoftmax keep the shape; logsumexp drops the axes unless keepdims. nullopt: all
  // axes
  NDArray softmax(SoftmaxOp op, const std::optional<Dims>& axes, bool keepdims) const;
  static NDArray softmax_grad(SoftmaxOp op, const NDArray& y, const NDArray& dy,
                              const std::optional<Dims>& axes);
  // Rows along axes with mean 0 and variance 1, times weight plus bias where these are given (one
  // element for each row, or for each place in a row of the last axes), and their mean, variance
  // and 1 / sqrt(variance + eps), of size 1 at axes, float32 of 16-bit floats.
  std::array<NDArray, 4> standardize(const std::optional<Dims>& axes, double eps,
                                     const NDArray* weight, const NDArray* bias) const;
  // Of dy, for the mean and inverse that standardize found of x: the cotangent of x; and, where
  // sums are asked for, those of weight, which is given then, and bias.
  static std::array<NDArray, 3> standardize_grad(const NDArray& dy, const NDArray& x,
                                                 const NDArray& mean, const NDArray& inverse,
                                                 const NDArray* weight,
                                                 const std::optional<Dims>& axes, bool sums);
  // Parameters after a step along their gradients; the state (compact, writable, of a parameter's
  // shape) changes in place, nothing does where anything is refused. One dtype and device.
  static std::vector<NDArray> sgd_steps(std::span<const SgdArrays> all, const SgdStep& step);
  static std::vector<NDArray> adam_steps(std::span<const AdamArrays> all, const AdamStep& step);
  // gates (rows, 4 n), c (rows, n): h and the next c; the cotangents of gates and c from those
  static std::array<NDArray, 2> lstm_cell(const NDArray& gates, const NDArray& c);
  static std::array<NDArray, 2> lstm_cell_grad(const NDArray& gates, const NDArray& c,
                                               const NDArray& dh, const NDArray& dnext);
  static NDArray matmul(const NDArray& a,
                        const NDArray& b);  // numpy's rules: 1-d, batched, broadcasting
  static NDArray conv2d(const NDArray& x, const NDArray& w, const Conv2dParams& p);
  // x_shape / w_shape: stride may not divide, so the output shape alone does not determine them
  static NDArray conv2d_grad_input(const NDArray& dy, const NDArray& w, const Dims& x_shape,
                                   const Conv2dParams& p);
  static NDArray conv2d_grad_weight(const NDArray& x, const NDArray& dy, const Dims& w_shape,
                                    const Conv2dParams& p);
  // x (N, H, W, C): the largest or the mean of every window, (N, OH, OW, C)
  NDArray pool2d(PoolOp op, const Pool2dParams& p) const;
  // Its gradient for images of x_shape; x: nullptr for mean, whose gradient depends on the shape
  // only
  static NDArray pool2d_grad(PoolOp op, const NDArray& dy, const Dims& x_shape, const NDArray* x,
                             const Pool2dParams& p);

 private:
  NDArray(StorageRef storage, const Dims& shape, DType dtype);  // compact

  StorageRef storage_;
  std::int64_t offset_ = 0;
  Dims shape_, strides_;
  DType dtype_ = DType::float32;
};

// --- helpers shared with the binding
Dims broadcast_shapes(std::string_view op, const Dims& a, const Dims& b);
Dims compact_strides(const Dims& shape);
// Axis in [-ndim, ndim) to [0, ndim); IndexError otherwise.
int normalize_axis(std::string_view op, std::int64_t axis, int ndim);
// Distinct normalised axes; ValueError on a repeated one.
Dims normalize_axes(std::string_view op, const Dims& axes, int ndim);

}  // namespace needle
