// Devices as Python knows them: each registered Device has a face, the Python object that users
// hold.
#pragma once

#include <pybind11/pybind11.h>

#include "core/ndarray.h"

namespace needle::bind {

Device& default_device();                         // RuntimeError before one is registered
Device* device_of_face(PyObject* face) noexcept;  // nullptr for anything else
// register_device, default_device, the Device class with its memory statistics, isa and threads.
void define_devices(pybind11::module_& module);

}  // namespace needle::bind
