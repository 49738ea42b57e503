// PyBackend: see py_backend.h.
#include "bind/py_backend.h"

#include <cstdlib>
#include <cstring>

#include "bind/casters.h"

namespace needle::bind {

namespace {

constexpr std::size_t kAlignment = 64;

// A numpy array over the view's memory; it owns nothing (the None base stops numpy from copying).
py::array as_numpy(const View& view) {
  std::vector<py::ssize_t> shape(view.shape, view.shape + view.ndim);
  std::vector<py::ssize_t> strides(view.strides, view.strides + view.ndim);
  for (auto& stride : strides) stride *= static_cast<py::ssize_t>(itemsize(view.dtype));
  return {numpy_dtype(view.dtype), std::move(shape), std::move(strides), view.data, py::none()};
}

py::tuple axis_tuple(unsigned axes) {
  py::list set;
  for (int d = 0; d < kMaxDims; ++d) {
    if ((axes >> d & 1u) != 0) set.append(d);
  }
  return py::tuple(set);
}

py::tuple pair(const std::int64_t (&values)[2]) { return py::make_tuple(values[0], values[1]); }

}  // namespace

PyBackend::PyBackend(py::module_ kernels) : kernels_(std::move(kernels)) {}

void* PyBackend::raw_allocate(std::size_t bytes) {
  return std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
}

void PyBackend::raw_free(void* block, std::size_t) noexcept { std::free(block); }

void PyBackend::copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind) {
  std::memcpy(dst, src, bytes);
}

// Callers may have released the GIL: each kernel takes it back.

void PyBackend::copy(View dst, View src) {
  py::gil_scoped_acquire gil;
  kernels_.attr("copy")(as_numpy(dst), as_numpy(src));
}

void PyBackend::fill(View dst, Scalar value) {
  py::gil_scoped_acquire gil;
  py::object number = value.integral ? py::object(py::int_(value.integer)) : py::float_(value.real);
  kernels_.attr("fill")(as_numpy(dst), number);
}

void PyBackend::unary(UnaryOp op, View dst, View a) {
  py::gil_scoped_acquire gil;
  kernels_.attr("unary")(name(op), as_numpy(dst), as_numpy(a));
}

void PyBackend::binary(BinaryOp op, View dst, View a, View b) {
  py::gil_scoped_acquire gil;
  kernels_.attr("binary")(name(op), as_numpy(dst), as_numpy(a), as_numpy(b));
}

void PyBackend::binary_scalar(BinaryOp op, View dst, View a, double s, bool reversed) {
  py::gil_scoped_acquire gil;
  kernels_.attr("binary_scalar")(name(op), as_numpy(dst), as_numpy(a), s, reversed);
}

void PyBackend::where(View dst, View mask, View a, View b) {
  py::gil_scoped_acquire gil;
  kernels_.attr("where")(as_numpy(dst), as_numpy(mask), as_numpy(a), as_numpy(b));
}

void PyBackend::gather(View dst, View a, View index, int axis) {
  py::gil_scoped_acquire gil;
  kernels_.attr("gather")(as_numpy(dst), as_numpy(a), as_numpy(index), axis);
}

void PyBackend::scatter_add(View dst, View a, View index, int axis) {
  py::gil_scoped_acquire gil;
  kernels_.attr("scatter_add")(as_numpy(dst), as_numpy(a), as_numpy(index), axis);
}

void PyBackend::cumsum(View dst, View a, int axis, bool reversed) {
  py::gil_scoped_acquire gil;
  kernels_.attr("cumsum")(as_numpy(dst), as_numpy(a), axis, reversed);
}

void PyBackend::arg_reduce(ArgOp op, View dst, View a, int axis) {
  py::gil_scoped_acquire gil;
  kernels_.attr("arg_reduce")(name(op), as_numpy(dst), as_numpy(a), axis);
}

void PyBackend::reduce(ReduceOp op, View dst, View a) {
  py::gil_scoped_acquire gil;
  kernels_.attr("reduce")(name(op), as_numpy(dst), as_numpy(a));
}

void PyBackend::softmax(SoftmaxOp op, View dst, View a, unsigned axes) {
  py::gil_scoped_acquire gil;
  kernels_.attr("softmax")(name(op), as_numpy(dst), as_numpy(a), axis_tuple(axes));
}

void PyBackend::softmax_grad(SoftmaxOp op, View dx, View y, View dy, unsigned axes) {
  py::gil_scoped_acquire gil;
  kernels_.attr("softmax_grad")(name(op), as_numpy(dx), as_numpy(y), as_numpy(dy),
                                axis_tuple(axes));
}

void PyBackend::matmul(View dst, View a, View b) {
  py::gil_scoped_acquire gil;
  kernels_.attr("matmul")(as_numpy(dst), as_numpy(a), as_numpy(b));
}

void PyBackend::conv2d(View y, View x, View w, const Conv2dParams& p) {
  py::gil_scoped_acquire gil;
  kernels_.attr("conv2d")(as_numpy(y), as_numpy(x), as_numpy(w), pair(p.stride), pair(p.padding),
                          pair(p.dilation), p.groups);
}

void PyBackend::conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) {
  py::gil_scoped_acquire gil;
  kernels_.attr("conv2d_grad_input")(as_numpy(dx), as_numpy(dy), as_numpy(w), pair(p.stride),
                                     pair(p.padding), pair(p.dilation), p.groups);
}

void PyBackend::conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) {
  py::gil_scoped_acquire gil;
  kernels_.attr("conv2d_grad_weight")(as_numpy(dw), as_numpy(x), as_numpy(dy), pair(p.stride),
                                      pair(p.padding), pair(p.dilation), p.groups);
}

}  // namespace needle::bind
