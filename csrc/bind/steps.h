// Steps of optimizers: of one array, as members, and of many at once, as functions of the module.
#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

void define_steps(pybind11::module_& module, pybind11::handle ndarray_type);

}  // namespace needle::bind
