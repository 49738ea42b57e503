// concatenate and stack of the module, NDArray.pad: what joins arrays (core/joining.cc).
#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

void define_joining(pybind11::module_& module, pybind11::handle type);

}  // namespace needle::bind
