// needle._core: the NDArray type, devices, and the numpy and cpu backends.
#include "bind/casters.h"
#include "bind/counted.h"
#include "bind/devices.h"
#include "bind/handle.h"
#include "bind/interchange.h"
#include "bind/joining.h"
#include "bind/limits.h"
#include "bind/methods.h"
#include "bind/pooling.h"
#include "bind/steps.h"
#include "bind/streams.h"

namespace needle::bind {

namespace {

void define_handle(py::module_& module) {
  py::class_<Handle>(module, "Handle")
      .def(
          "ptr",
          [](const Handle& h) { return reinterpret_cast<std::uintptr_t>(h.array.storage()->data); })
      .def_property_readonly(
          "size",
          [](const Handle& h) { return h.array.storage()->bytes / itemsize(h.array.dtype()); })
      .def(
          "as_strided",
          [](const Handle& h, const Dims& shape, const Dims& strides, std::int64_t offset) {
            return h.array.as_strided(shape, strides, offset);
          },
          py::arg("shape"), py::arg("strides"), py::arg("offset") = 0);
}

// The rows of the op table, by kind: what every backend must offer.
py::dict op_names() {
  py::list unary, binary, reduce;
#define NEEDLE_UNARY(op, formula) unary.append(#op);
#define NEEDLE_BINARY(op, formula) binary.append(#op);
#define NEEDLE_REDUCE(op, identity, formula) reduce.append(#op);
#include "core/ops.def"
  py::dict names;
  names["unary"] = unary;
  names["binary"] = binary;
  names["reduce"] = reduce;
  return names;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native core of needle: NDArray, devices, the numpy and cpu backends.";
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception&) {
      set_python_error();
    }
  });
  PyTypeObject* type = make_ndarray_type(module.ptr());
  module.attr("NDArray") = py::handle(reinterpret_cast<PyObject*>(type));
  define_methods(reinterpret_cast<PyObject*>(type));
  define_joining(module);
  define_pooling(reinterpret_cast<PyObject*>(type));
  define_steps(module, reinterpret_cast<PyObject*>(type));
  define_handle(module);
  define_counted(module);
  define_devices(module);
  define_limits(module);
  define_streams(module);
  module.def("op_names", op_names);
  module.def("from_dlpack", from_dlpack, py::arg("producer"), py::arg("device") = py::none());
  module.def("from_cuda_array_interface", from_cuda_array_interface, py::arg("producer"),
             py::arg("device") = py::none());
  module.def(
      "empty",
      [](const Dims& shape, DType dtype, DeviceArgument device) {
        return NDArray::empty(shape, dtype, device);
      },
      py::arg("shape"), py::arg("dtype"), py::arg("device"));
  module.def(
      "full",
      [](const Dims& shape, Scalar value, DType dtype, DeviceArgument device) {
        return NDArray::full(shape, value, dtype, device);
      },
      py::arg("shape"), py::arg("value"), py::arg("dtype"), py::arg("device"));
}

}  // namespace needle::bind
