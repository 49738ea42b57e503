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
    if (!held) throw py::error_already_set();
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
