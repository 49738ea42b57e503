// NDArray as a Python object: one heap type whose hot slots go through the C API. This header is
// how the rest of the binding makes such objects, looks inside them, and turns C++ exceptions into
// Python's.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "core/ndarray.h"

namespace needle::bind {

struct NDArrayObject {
  PyObject_HEAD NDArray value;
  PyObject* weak_references;
};

// Creates the type; called once, by the module's initialisation.
PyTypeObject* make_ndarray_type(PyObject* module);
PyTypeObject* ndarray_type();

inline bool is_ndarray(PyObject* object) { return PyObject_TypeCheck(object, ndarray_type()); }
NDArray& unwrap(PyObject* ndarray);  // RuntimeError when a subclass skipped NDArray's __init__
PyObject* wrap(NDArray value);       // a new reference

// Sets the Python error that the exception in flight stands for; called inside a catch block.
void set_python_error() noexcept;

// Runs f at the border of a C slot: exceptions become Python errors and the slot's failure value.
template <class F, class R = decltype(std::declval<F>()())>
R guarded(F&& f, R failure = R{}) noexcept {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return failure;
  }
}

// Runs a computation over `work` elements; without the GIL when that takes long enough to be worth
// it. The operands stay alive and unchanged meanwhile: the caller holds their objects, whose values
// are set once (see initialize).
template <class F>
NDArray compute(std::int64_t work, F&& f) {
  constexpr std::int64_t kWorthIt = 1 << 16;
  if (work < kWorthIt) return f();
  pybind11::gil_scoped_release release;
  return f();
}

// Operators and the methods of the op table: either side may be a Python number. Py_NotImplemented
// (a new reference) when a side is neither; throws as NDArray does.
PyObject* binary(BinaryOp op, PyObject* a, PyObject* b);

NDArray matmul(const NDArray& a, const NDArray& b);

// The value of a Python or numpy number (bool included); false when the object is not one.
bool to_number(PyObject* object, double* value);

}  // namespace needle::bind
