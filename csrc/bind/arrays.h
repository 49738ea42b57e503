// Python sequences of arrays.
#pragma once

#include <vector>

#include "bind/casters.h"

namespace needle::bind {

// The NDArrays of a sequence, which it keeps alive; TypeError where an item is none.
struct Arrays {
  py::tuple held;  // holds its items, whatever happens to a list meanwhile
  std::vector<const NDArray*> items;
  std::int64_t size = 0;  // elements of all

  Arrays(const char* op, py::handle sequence)
      : held(py::reinterpret_steal<py::tuple>(PySequence_Tuple(sequence.ptr()))) {
    if (!held) {
      if (Py_TYPE(sequence.ptr())->tp_iter != nullptr) throw py::error_already_set();
      PyErr_Clear();
      throw TypeMismatch(
          message(op, "arrays come in a sequence", "type", Py_TYPE(sequence.ptr())->tp_name));
    }
    items.reserve(held.size());
    for (py::handle item : held) {
      if (!is_ndarray(item.ptr())) {
        throw TypeMismatch(
            message(op, "arrays are NDArrays", "type", Py_TYPE(item.ptr())->tp_name));
      }
      items.push_back(&unwrap(item.ptr()));
      size += items.back()->size();
    }
  }
};

}  // namespace needle::bind
