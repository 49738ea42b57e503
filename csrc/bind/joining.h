// concatenate, stack and pad of the module: what joins arrays (core/joining.cc).
#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

void define_joining(pybind11::module_& module);

}  // namespace needle::bind
