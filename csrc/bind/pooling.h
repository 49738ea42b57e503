// NDArray's methods that pool images (core/pool.cc).
#pragma once

#include <pybind11/pybind11.h>

namespace needle::bind {

void define_pooling(pybind11::handle type);

}  // namespace needle::bind
