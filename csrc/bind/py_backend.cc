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

py::object or_none(const View& view) {
  return view.data == nullptr ? py::object(py::none()) : as_numpy(view);
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

void PyBackend::clip(View dst, View a, double low, double high) {
  py::gil_scoped_acquire gil;
  kernels_.attr("clip")(as_numpy(dst), as_numpy(a), low, high);
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

void PyBackend::standardize(const Standardized& out, View x, View weight, View bias, unsigned axes,
                            double eps) {
  py::gil_scoped_acquire gil;
  kernels_.attr("standardize")(as_numpy(out.y), as_numpy(out.mean), as_numpy(out.variance),
                               as_numpy(out.inverse), as_numpy(x), or_none(weight), or_none(bias),
                               axis_tuple(axes), eps);
}

void PyBackend::standardize_grad(const StandardizedGrad& out, View dy, View x, View mean,
                                 View inverse, View weight, unsigned axes) {
  py::gil_scoped_acquire gil;
  kernels_.attr("standardize_grad")(as_numpy(out.dx), or_none(out.dweight), or_none(out.dbias),
                                    as_numpy(dy), as_numpy(x), as_numpy(mean), as_numpy(inverse),
                                    or_none(weight), axis_tuple(axes));
}

void PyBackend::sgd_step(std::span<const SgdPart> parts, const SgdStep& s) {
  py::gil_scoped_acquire gil;
  for (const SgdPart& part : parts) {
    kernels_.attr("sgd_step")(
        as_numpy(part.out), or_none(part.velocity), as_numpy(part.p), as_numpy(part.grad),
        py::arg("lr") = s.lr, py::arg("momentum") = s.momentum, py::arg("undamped") = s.undamped,
        py::arg("weight_decay") = s.weight_decay, py::arg("nesterov") = s.nesterov,
        py::arg("first") = s.first, py::arg("first_undamped") = s.first_undamped);
  }
}

void PyBackend::adam_step(std::span<const AdamPart> parts, const AdamStep& s) {
  py::gil_scoped_acquire gil;
  for (const AdamPart& part : parts) {
    kernels_.attr("adam_step")(
        as_numpy(part.out), as_numpy(part.first), as_numpy(part.second), as_numpy(part.p),
        as_numpy(part.grad), py::arg("lr") = s.lr,
        py::arg("betas") = py::make_tuple(s.beta1, s.beta2), py::arg("eps") = s.eps,
        py::arg("weight_decay") = s.weight_decay,
        py::arg("corrections") = py::make_tuple(s.correction1, s.correction2),
        py::arg("decoupled") = s.decoupled, py::arg("is_first") = s.first);
  }
}

void PyBackend::lstm_cell(View h, View next, View gates, View c) {
  py::gil_scoped_acquire gil;
  kernels_.attr("lstm_cell")(as_numpy(h), as_numpy(next), as_numpy(gates), as_numpy(c));
}

void PyBackend::lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) {
  py::gil_scoped_acquire gil;
  kernels_.attr("lstm_cell_grad")(as_numpy(dgates), as_numpy(dc), as_numpy(gates), as_numpy(c),
                                  as_numpy(dh), as_numpy(dnext));
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

void PyBackend::pool2d(PoolOp op, View y, View x, const Pool2dParams& p) {
  py::gil_scoped_acquire gil;
  kernels_.attr("pool2d")(name(op), as_numpy(y), as_numpy(x), pair(p.kernel), pair(p.stride),
                          pair(p.padding), p.inside);
}

void PyBackend::pool2d_grad(PoolOp op, View dx, View dy, View x, const Pool2dParams& p) {
  py::gil_scoped_acquire gil;
  kernels_.attr("pool2d_grad")(name(op), as_numpy(dx), as_numpy(dy), or_none(x), pair(p.kernel),
                               pair(p.stride), pair(p.padding), p.inside);
}

}  // namespace needle::bind
