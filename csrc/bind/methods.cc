// Members of NDArray beyond its slots: properties through the C API, methods through pybind11.
// Members that are better written in Python are in needle/backend_ndarray/ndarray.py.
#include "bind/methods.h"

#include <string>

#include "bind/casters.h"
#include "bind/handle.h"
#include "bind/interchange.h"

namespace needle::bind {

namespace {

template <auto get>
PyObject* property(PyObject* self, void*) {
  return guarded([&] { return py::cast(get(unwrap(self))).release().ptr(); });
}

PyObject* device_property(PyObject* self, void*) {
  return guarded([&] { return Py_NewRef(static_cast<PyObject*>(unwrap(self).device().face)); });
}

PyObject* cuda_array_property(PyObject* self, void*) {
  return guarded([&] { return cuda_array_interface(unwrap(self)).release().ptr(); });
}

// A position of two numbers (height, width); one stands for both.
void set_pair(std::int64_t (&target)[2], const Dims& values, const char* what) {
  if (values.size() != 1 && values.size() != 2) {
    throw std::invalid_argument(message("conv2d", "an int or a pair of ints", what, values.str()));
  }
  target[0] = values[0];
  target[1] = values[values.size() - 1];
}

Conv2dParams conv_params(const Dims& stride, const Dims& padding, const Dims& dilation,
                         std::int64_t groups) {
  Conv2dParams params{};
  set_pair(params.stride, stride, "stride");
  set_pair(params.padding, padding, "padding");
  set_pair(params.dilation, dilation, "dilation");
  params.groups = groups;
  return params;
}

// An operand that may be a number, of the other's dtype on its device: an NDArray, the other, says
// them, and where that is a number too, the mask.
NDArray operand(const char* op, py::handle value, py::handle other, const NDArray& mask) {
  if (is_ndarray(value.ptr())) return unwrap(value.ptr());
  double number;
  if (!to_number(value.ptr(), &number)) {
    throw TypeMismatch(
        message(op, "operands are NDArrays or numbers", "type", Py_TYPE(value.ptr())->tp_name));
  }
  const bool alone = !is_ndarray(other.ptr());
  const NDArray& like = alone ? mask : unwrap(other.ptr());
  const DType dtype = alone && like.dtype() == DType::boolean ? DType::float32 : like.dtype();
  return NDArray::full({}, Scalar{number, 0, false}, dtype, like.device());
}

// f(2, 3) and f((2, 3)) mean the same.
Dims from_arguments(const py::args& args) {
  return args.size() == 1 ? to_dims(args[0]) : to_dims(args);
}

py::object array_protocol(const NDArray& a, py::handle dtype, std::optional<bool> copy) {
  const bool shared = copy != true && (copy == false || a.device().backend->host_memory());
  py::object result = shared ? numpy_view(a) : to_numpy(a);
  if (dtype.is_none()) return result;
  py::object converted = result.attr("astype")(dtype, py::arg("copy") = false);
  if (copy == false && !converted.is(result)) {
    throw std::invalid_argument(message("__array__", "another dtype needs a copy", "dtype",
                                        py::str(dtype).cast<std::string>()));
  }
  return converted;
}

}  // namespace

PyGetSetDef properties[] = {
    {"shape", property<[](const NDArray& a) { return a.shape(); }>, nullptr, "Sizes.", nullptr},
    {"strides", property<[](const NDArray& a) { return a.strides(); }>, nullptr,
     "Steps between neighbours along each axis, in elements.", nullptr},
    {"ndim", property<[](const NDArray& a) { return a.ndim(); }>, nullptr, "Number of axes.",
     nullptr},
    {"size", property<[](const NDArray& a) { return a.size(); }>, nullptr, "Number of elements.",
     nullptr},
    {"nbytes", property<[](const NDArray& a) {
       return a.size() * static_cast<std::int64_t>(itemsize(a.dtype()));
     }>,
     nullptr, "Bytes of the elements.", nullptr},
    {"dtype", property<[](const NDArray& a) { return a.dtype(); }>, nullptr,
     "Name of the element type.", nullptr},
    {"device", device_property, nullptr, "The BackendDevice that holds the elements.", nullptr},
    {"_offset", property<[](const NDArray& a) { return a.offset(); }>, nullptr,
     "Position of the first element in the storage, in elements.", nullptr},
    {"_handle", property<[](const NDArray& a) { return Handle{a}; }>, nullptr, "The storage.",
     nullptr},
    {"__cuda_array_interface__", cuda_array_property, nullptr,
     "The memory of an array on cuda, for other libraries; AttributeError elsewhere.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

void define_methods(py::handle type) {
  const auto def = [&](const char* name, auto&& function, const auto&... extra) {
    type.attr(name) = py::cpp_function(std::forward<decltype(function)>(function), py::name(name),
                                       py::is_method(type), extra...);
  };
  using py::arg;
  const Dims one{1}, zero{0};

  // views
  def("reshape", [](const NDArray& a, const py::args& s) { return a.reshape(from_arguments(s)); });
  def("permute", [](const NDArray& a, const Dims& axes) { return a.permute(axes); }, arg("axes"));
  def(
      "broadcast_to", [](const NDArray& a, const Dims& s) { return a.broadcast_to(s); },
      arg("shape"));
  def("flip", [](const NDArray& a, const Dims& axes) { return a.flip(axes); }, arg("axes"));
  def("squeeze", [](const NDArray& a, const Dims& axes) { return a.squeeze(axes); }, arg("axes"));
  def(
      "as_strided",
      [](const NDArray& a, const Dims& shape, const Dims& strides,
         std::optional<std::int64_t> offset) {
        return a.as_strided(shape, strides, offset.value_or(a.offset()));
      },
      arg("shape"), arg("strides"), arg("offset") = py::none());
  def(
      "transpose",
      [](const NDArray& a, const std::optional<Dims>& axes) {
        const Dims pair = axes.value_or(Dims{-1, -2});
        if (pair.size() != 2) {
          throw std::invalid_argument(message("transpose", "two axes", "axes", pair.str()));
        }
        return a.transpose(pair[0], pair[1]);
      },
      arg("axes") = py::none());

  // copies and writes
  def("compact", [](const NDArray& a) { return a.compact(); });
  def("is_compact", [](const NDArray& a) { return a.is_compact(); });
  def("copy", [](const NDArray& a) { return a.copy(); });
  def("astype", [](const NDArray& a, DType dtype) { return a.astype(dtype); }, arg("dtype"));
  def("to", [](const NDArray& a, DeviceArgument device) { return a.to(device); }, arg("device"));
  def(
      "accumulate",
      [](const NDArray& a, const NDArray& other) {
        return compute(a.size(), [&] { return a.accumulate(other); });
      },
      arg("other"), R"(The sum of both, in this array's memory where the backend can, or in new.

Of what nobody else looks at: a sum of cotangents. Raises: ValueError where shapes or devices
differ, TypeError where dtypes do.)");
  def("fill", [](const NDArray& a, Scalar value) { NDArray(a).fill(value); }, arg("value"));

  // computation; convolutions are always worth letting the GIL go
  const py::call_guard<py::gil_scoped_release> without_gil;
#define NEEDLE_REDUCE(op, identity, formula)                                              \
  def(                                                                                    \
      #op,                                                                                \
      [](const NDArray& a, const std::optional<Dims>& axis, bool keepdims) {              \
        return compute(a.size(), [&] { return a.reduce(ReduceOp::op, axis, keepdims); }); \
      },                                                                                  \
      arg("axis") = py::none(), arg("keepdims") = false);
#include "core/ops.def"
  def(
      "clip",
      [](const NDArray& a, std::optional<double> low, std::optional<double> high) {
        return compute(a.size(), [&] {
          return a.clip(low.value_or(-__builtin_inf()), high.value_or(__builtin_inf()));
        });
      },
      arg("low"), arg("high"));
  def(
      "where",
      [](const NDArray& mask, py::handle a, py::handle b) {
        const NDArray x = operand("where", a, b, mask), y = operand("where", b, a, mask);
        return compute(mask.size() + x.size() + y.size(),
                       [&] { return NDArray::where(mask, x, y); });
      },
      arg("a"), arg("b"));
  def(
      "take_along_axis",
      [](const NDArray& a, const NDArray& index, std::int64_t axis) {
        return compute(index.size(), [&] { return a.take_along_axis(index, axis); });
      },
      arg("index"), arg("axis"));
  def(
      "scatter_add",
      [](const NDArray& a, const NDArray& index, std::int64_t axis, std::int64_t n) {
        return compute(a.size(), [&] { return a.scatter_add(index, axis, n); });
      },
      arg("index"), arg("axis"), arg("n"));
  def(
      "cumsum",
      [](const NDArray& a, std::int64_t axis, bool reverse) {
        return compute(a.size(), [&] { return a.cumsum(axis, reverse); });
      },
      arg("axis"), arg("reverse") = false);
  for (const ArgOp op : {ArgOp::argmax, ArgOp::argmin}) {
    def(
        name(op),
        [op](const NDArray& a, std::optional<std::int64_t> axis, bool keepdims) {
          return compute(a.size(), [&] { return a.arg_reduce(op, axis, keepdims); });
        },
        arg("axis") = py::none(), arg("keepdims") = false);
  }
  for (const SoftmaxOp op : {SoftmaxOp::softmax, SoftmaxOp::logsoftmax}) {
    def(
        name(op),
        [op](const NDArray& a, const std::optional<Dims>& axis) {
          return compute(a.size(), [&] { return a.softmax(op, axis, true); });
        },
        arg("axis"));
    def(
        op == SoftmaxOp::softmax ? "softmax_grad" : "logsoftmax_grad",
        [op](const NDArray& y, const NDArray& dy, const std::optional<Dims>& axis) {
          return compute(y.size(), [&] { return NDArray::softmax_grad(op, y, dy, axis); });
        },
        arg("dy"), arg("axis"));
  }
  def(
      "logsumexp",
      [](const NDArray& a, const std::optional<Dims>& axis, bool keepdims) {
        return compute(a.size(), [&] { return a.softmax(SoftmaxOp::logsumexp, axis, keepdims); });
      },
      arg("axis") = py::none(), arg("keepdims") = false);
  def(
      "standardize",
      [](const NDArray& x, const std::optional<Dims>& axis, double eps,
         const std::optional<NDArray>& weight, const std::optional<NDArray>& bias) {
        py::gil_scoped_release release;
        return x.standardize(axis, eps, weight ? &*weight : nullptr, bias ? &*bias : nullptr);
      },
      arg("axis"), arg("eps"), arg("weight") = py::none(), arg("bias") = py::none());
  def(
      "standardize_grad",
      [](const NDArray& x, const NDArray& dy, const NDArray& mean, const NDArray& inverse,
         const std::optional<Dims>& axis, const std::optional<NDArray>& weight) {
        return compute(x.size(), [&] {
          return NDArray::standardize_grad(dy, x, mean, inverse, weight ? &*weight : nullptr, axis,
                                           false)[0];
        });
      },
      arg("dy"), arg("mean"), arg("inverse"), arg("axis"), arg("weight") = py::none());
  def(
      "normalize_grad",
      [](const NDArray& x, const NDArray& dy, const NDArray& mean, const NDArray& inverse,
         const std::optional<Dims>& axis, const NDArray& weight) {
        py::gil_scoped_release release;
        return NDArray::standardize_grad(dy, x, mean, inverse, &weight, axis, true);
      },
      arg("dy"), arg("mean"), arg("inverse"), arg("axis"), arg("weight"));
  def("lstm_cell", NDArray::lstm_cell, arg("c"), without_gil);
  def("lstm_cell_grad", NDArray::lstm_cell_grad, arg("c"), arg("dh"), arg("dc"), without_gil);
  def("matmul", matmul, arg("other"));
  def(
      "conv2d",
      [](const NDArray& x, const NDArray& w, const Dims& stride, const Dims& padding,
         const Dims& dilation, std::int64_t groups) {
        return NDArray::conv2d(x, w, conv_params(stride, padding, dilation, groups));
      },
      arg("w"), arg("stride") = one, arg("padding") = zero, arg("dilation") = one,
      arg("groups") = 1, without_gil);
  def(
      "conv2d_grad_input",
      [](const NDArray& dy, const NDArray& w, const Dims& x_shape, const Dims& stride,
         const Dims& padding, const Dims& dilation, std::int64_t groups) {
        return NDArray::conv2d_grad_input(dy, w, x_shape,
                                          conv_params(stride, padding, dilation, groups));
      },
      arg("w"), arg("x_shape"), arg("stride") = one, arg("padding") = zero, arg("dilation") = one,
      arg("groups") = 1, without_gil);
  def(
      "conv2d_grad_weight",
      [](const NDArray& x, const NDArray& dy, const Dims& w_shape, const Dims& stride,
         const Dims& padding, const Dims& dilation, std::int64_t groups) {
        return NDArray::conv2d_grad_weight(x, dy, w_shape,
                                           conv_params(stride, padding, dilation, groups));
      },
      arg("dy"), arg("w_shape"), arg("stride") = one, arg("padding") = zero, arg("dilation") = one,
      arg("groups") = 1, without_gil);

  // interchange
  def("numpy", to_numpy);
  def("item", item);
  def("__array__", array_protocol, arg("dtype") = py::none(), arg("copy") = py::none());
  def("__dlpack__", to_dlpack, py::kw_only(), arg("stream") = py::none(),
      arg("max_version") = py::none(), arg("dl_device") = py::none(), arg("copy") = py::none());
  def("__dlpack_device__", dlpack_device);
}

}  // namespace needle::bind
