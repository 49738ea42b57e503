// What this processor reaches at best, measured: for benchmarks.
#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

void define_limits(pybind11::module_& module);

}  // namespace needle::bind
