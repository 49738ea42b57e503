// What pybind11 needs to know to take and return the core's types: NDArray, Dims, DType, Scalar,
// devices.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bind/ndarray_object.h"

namespace needle::bind {

namespace py = pybind11;

// An int, or a sequence of ints (anything with __index__).
Dims to_dims(py::handle object);
py::tuple to_tuple(const Dims& dims);
// TypeError unless the object is a Python or numpy number.
Scalar to_scalar(py::handle object);
// "float32", numpy.float32, numpy.dtype("float32"), ...; TypeError for dtypes that NDArray does not
// hold.
DType to_dtype(py::handle object);
PyObject* dtype_name(DType dtype);  // a new reference to an interned string
py::dtype numpy_dtype(DType dtype);
// The device whose Python face this is, brought up on first use; None is the default device.
Device& to_device(py::handle face);

// An argument `device` of a bound function.
struct DeviceArgument {
  Device* device = nullptr;
  operator Device&() const { return *device; }
};

}  // namespace needle::bind

namespace pybind11::detail {

template <>
struct type_caster<needle::NDArray> {
  static constexpr auto name = const_name("NDArray");
  template <class>
  using cast_op_type = const needle::NDArray&;

  bool load(handle source, bool) {
    if (!needle::bind::is_ndarray(source.ptr())) return false;
    value_ = &needle::bind::unwrap(source.ptr());
    return true;
  }
  operator const needle::NDArray&() const { return *value_; }
  static handle cast(needle::NDArray value, return_value_policy, handle) {
    return needle::bind::wrap(std::move(value));
  }

 private:
  const needle::NDArray* value_ = nullptr;
};

template <>
struct type_caster<needle::Dims> {
  PYBIND11_TYPE_CASTER(needle::Dims, const_name("int | Sequence[int]"));
  bool load(handle source, bool) {
    value = needle::bind::to_dims(source);
    return true;
  }
  static handle cast(const needle::Dims& dims, return_value_policy, handle) {
    return needle::bind::to_tuple(dims).release();
  }
};

template <>
struct type_caster<needle::DType> {
  PYBIND11_TYPE_CASTER(needle::DType, const_name("str"));
  bool load(handle source, bool) {
    value = needle::bind::to_dtype(source);
    return true;
  }
  static handle cast(needle::DType dtype, return_value_policy, handle) {
    return needle::bind::dtype_name(dtype);
  }
};

template <>
struct type_caster<needle::Scalar> {
  PYBIND11_TYPE_CASTER(needle::Scalar, const_name("float"));
  bool load(handle source, bool) {
    value = needle::bind::to_scalar(source);
    return true;
  }
};

template <>
struct type_caster<needle::bind::DeviceArgument> {
  PYBIND11_TYPE_CASTER(needle::bind::DeviceArgument, const_name("BackendDevice | None"));
  bool load(handle source, bool) {
    value.device = &needle::bind::to_device(source);
    return true;
  }
};

}  // namespace pybind11::detail
