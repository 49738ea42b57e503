// Python values as the core's types, and back.
#include "bind/casters.h"

#include <array>
#include <cmath>
#include <string>

#include "bind/devices.h"

namespace needle::bind {

namespace {

std::int64_t to_integer(PyObject* object) {
  if (!PyIndex_Check(object)) {
    throw TypeMismatch(
        message("NDArray", "sizes, strides and axes are ints", "type", Py_TYPE(object)->tp_name));
  }
  const Py_ssize_t value = PyNumber_AsSsize_t(object, PyExc_OverflowError);
  if (value == -1 && PyErr_Occurred()) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) throw py::error_already_set();
    PyErr_Clear();
    throw std::invalid_argument(message("NDArray", "sizes, strides and axes fit into 64 bits",
                                        "value", py::str(object).cast<std::string>()));
  }
  return value;
}

// An int of Python's or numpy's, a 0-d array included; a longer array has __index__ too.
bool is_integer(PyObject* object) {
  if (!PyIndex_Check(object)) return false;
  if (!py::isinstance<py::array>(object)) return true;
  return py::reinterpret_borrow<py::array>(object).ndim() == 0;
}

}  // namespace

Dims to_dims(py::handle object) {
  if (is_integer(object.ptr())) return Dims{to_integer(object.ptr())};
  if (!PySequence_Check(object.ptr())) {
    throw TypeMismatch(message("NDArray", "a shape or axes are an int or a sequence of ints",
                               "type", Py_TYPE(object.ptr())->tp_name));
  }
  auto items = py::reinterpret_steal<py::tuple>(PySequence_Tuple(object.ptr()));
  if (!items) throw py::error_already_set();
  std::vector<std::int64_t> values;
  for (py::handle value : items) values.push_back(to_integer(value.ptr()));
  return Dims(std::span<const std::int64_t>(values));
}

py::tuple to_tuple(const Dims& dims) {
  py::tuple result(static_cast<std::size_t>(dims.size()));
  for (int i = 0; i < dims.size(); ++i) {
    PyTuple_SET_ITEM(result.ptr(), i, PyLong_FromLongLong(dims[i]));
  }
  return result;
}

Scalar to_scalar(py::handle object) {
  Scalar scalar{};
  if (!to_number(object.ptr(), &scalar.real)) {
    throw TypeMismatch(
        message("NDArray", "the value is a number", "type", Py_TYPE(object.ptr())->tp_name));
  }
  if (PyIndex_Check(object.ptr())) {
    py::object integer = py::reinterpret_steal<py::object>(PyNumber_Index(object.ptr()));
    if (!integer) throw py::error_already_set();
    int overflow = 0;
    scalar.integer = PyLong_AsLongLongAndOverflow(integer.ptr(), &overflow);
    scalar.integral = overflow == 0;
  }
  return scalar;
}

DType to_dtype(py::handle object) {
  std::string wanted;
  if (py::isinstance<py::str>(object)) {
    wanted = object.cast<std::string>();
  } else {
    wanted = py::module_::import("numpy").attr("dtype")(object).attr("name").cast<std::string>();
  }
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (wanted == name(dtype)) return dtype;
  }
  throw TypeMismatch(message("NDArray",
                             "dtype is float32, float64, int32, int64, bool, float16 or bfloat16",
                             "dtype", wanted));
}

PyObject* dtype_name(DType dtype) {
  static std::array<PyObject*, kDTypeCount> cache{};  // never freed, as numpy_dtype's
  PyObject*& entry = cache[static_cast<std::size_t>(dtype)];
  if (!entry) entry = PyUnicode_InternFromString(name(dtype));
  return Py_XNewRef(entry);
}

py::dtype numpy_dtype(DType dtype) {
  static std::array<PyObject*, kDTypeCount> cache{};
  PyObject*& entry = cache[static_cast<std::size_t>(dtype)];
  if (!entry) {
    py::object spelled = dtype == DType::bfloat16
                             ? py::module_::import("ml_dtypes").attr("bfloat16")
                             : py::object(py::str(name(dtype)));
    entry = py::dtype::from_args(spelled).release().ptr();
  }
  return py::reinterpret_borrow<py::dtype>(entry);
}

Device& to_device(py::handle face) {
  if (face.is_none()) return default_device();
  if (Device* device = device_of_face(face.ptr())) return *device;
  if (py::hasattr(face, "_bring_up")) {  // a device that loads its module on first use
    face.attr("_bring_up")();
    if (Device* device = device_of_face(face.ptr())) return *device;
  }
  throw TypeMismatch(message("NDArray", "device is a BackendDevice such as needle.cpu()", "type",
                             Py_TYPE(face.ptr())->tp_name));
}

}  // namespace needle::bind
