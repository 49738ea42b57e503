// Streams, events, graphs and properties of devices that have them.
#pragma once

#include <pybind11/pybind11.h>

#include "core/ndarray.h"

namespace needle::bind {

void define_streams(pybind11::module_& module);
pybind11::dict device_properties(const Device& device);

}  // namespace needle::bind
