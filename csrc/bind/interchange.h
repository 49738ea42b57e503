// Between NDArray and the rest of Python: numpy, the buffer protocol, DLPack.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "core/ndarray.h"

namespace needle::bind {

// NDArray's constructor: device and dtype may be None.
NDArray from_python(pybind11::handle data, pybind11::handle device, pybind11::handle dtype);
// A fresh array with a copy of what numpy makes of data; TypeError unless that is real numbers.
NDArray from_numpy(pybind11::handle data, Device& device, DType dtype);
pybind11::object to_numpy(const NDArray& a);    // a fresh, writable numpy array
pybind11::object numpy_view(const NDArray& a);  // shares host memory; ValueError on other devices
pybind11::object item(const NDArray& a);        // the only element as a Python number

int get_buffer(PyObject* self, Py_buffer* view, int flags);
void release_buffer(PyObject* self, Py_buffer* view);

pybind11::tuple dlpack_device(const NDArray& a);
pybind11::object to_dlpack(const NDArray& a, pybind11::handle stream, pybind11::handle max_version,
                           pybind11::handle dl_device, std::optional<bool> copy);
// Zero-copy where the producer's memory is reachable from the device (None: where the data is).
NDArray from_dlpack(pybind11::handle producer, pybind11::handle device);

}  // namespace needle::bind
