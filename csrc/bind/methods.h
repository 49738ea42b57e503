// Members of NDArray beyond its slots.
#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

extern PyGetSetDef properties[];
void define_methods(pybind11::handle ndarray_type);

}  // namespace needle::bind
