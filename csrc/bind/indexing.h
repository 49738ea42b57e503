// Index expressions: Python's a[key] as the core's IndexItems.
#pragma once

#include <pybind11/pybind11.h>

#include "core/ndarray.h"

namespace needle::bind {

NDArray get_item(const NDArray& a, pybind11::handle key);
// value: an NDArray, a number, or what numpy makes an array of (converted to a's dtype).
void set_item(const NDArray& a, pybind11::handle key, pybind11::handle value);

}  // namespace needle::bind
