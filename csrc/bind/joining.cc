// Python sequences of arrays, and pairs of widths, on their way into core/joining.cc.
#include "bind/joining.h"

#include <string>

#include "bind/arrays.h"

namespace needle::bind {

namespace {

using Join = NDArray (*)(std::span<const NDArray* const>, std::int64_t);

std::int64_t to_axis(const char* op, py::handle axis) {
  if (!PyIndex_Check(axis.ptr()) || py::isinstance<py::array>(axis)) {
    throw TypeMismatch(message(op, "axis is an int", "axis", py::repr(axis).cast<std::string>()));
  }
  const Py_ssize_t value = PyNumber_AsSsize_t(axis.ptr(), nullptr);  // clipped: out of range
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

NDArray joined(const char* op, Join join, py::handle arrays, py::handle given_axis) {
  const std::int64_t axis = to_axis(op, given_axis);
  const Arrays parts(op, arrays);
  return compute(parts.size, [&] { return join(parts.items, axis); });
}

NDArray padded(const NDArray& a, py::handle axes, Scalar value) {
  const auto refuse = [&](const char* rule) {
    return message("pad", rule, "axes", py::repr(axes).cast<std::string>(), "ndim", a.ndim());
  };
  constexpr const char* rule = "one (before, after) pair for each axis";
  if (!PySequence_Check(axes.ptr())) throw TypeMismatch(refuse("axes are pairs of ints"));
  const auto pairs = py::reinterpret_steal<py::tuple>(PySequence_Tuple(axes.ptr()));
  if (!pairs) throw py::error_already_set();
  if (static_cast<int>(pairs.size()) != a.ndim()) throw std::invalid_argument(refuse(rule));
  Dims before, after;
  for (py::handle widths : pairs) {
    Dims pair;
    try {
      pair = to_dims(widths);
    } catch (const TypeMismatch&) {
      throw TypeMismatch(refuse("axes are pairs of ints"));
    }
    if (pair.size() != 2) throw std::invalid_argument(refuse(rule));
    if (pair[0] < 0 || pair[1] < 0) {
      throw std::invalid_argument(refuse("widths must not be negative"));
    }
    before.push_back(pair[0]);
    after.push_back(pair[1]);
  }
  return compute(a.size(), [&] { return a.pad(before, after, value); });
}

}  // namespace

void define_joining(py::module_& module) {
  module.def(
      "concatenate",
      [](py::handle arrays, py::handle axis) {
        return joined("concatenate", NDArray::concatenate, arrays, axis);
      },
      py::arg("arrays"), py::arg("axis") = 0,
      R"(Arrays one after another along axis; their other sizes, dtypes and devices agree.

Raises: ValueError when there is none, shapes or devices differ; IndexError when axis is out of
range; TypeError when dtypes differ.)");
  module.def(
      "stack",
      [](py::handle arrays, py::handle axis) {
        return joined("stack", NDArray::stack, arrays, axis);
      },
      py::arg("arrays"), py::arg("axis") = 0,
      R"(Arrays of one shape, dtype and device side by side along a new axis of the result.

Raises: ValueError when there is none, shapes or devices differ; IndexError when axis is out of
range; TypeError when dtypes differ.)");
  module.def("pad", padded, py::arg("a"), py::arg("axes"), py::arg("value") = 0);
}

}  // namespace needle::bind
