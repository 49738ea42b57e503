#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

void define_counted(pybind11::module_& module);

}  // namespace needle::bind
