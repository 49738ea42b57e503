// Between NDArray and the rest of Python: numpy, the buffer protocol, DLPack, CUDA arrays.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>

#include "core/ndarray.h"

namespace needle::bind {

// NDArray's constructor: device and dtype may be None.
NDArray from_python(pybind11::handle data, pybind11::handle device, pybind11::handle dtype);
// A fresh array with a copy of what numpy makes of data; TypeError unless that is real numbers.
NDArray from_numpy(pybind11::handle data, Device& device, DType dtype, const char* op = "NDArray");
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

// The __cuda_array_interface__ of an array on cuda; AttributeError elsewhere.
pybind11::object cuda_array_interface(const NDArray& a);
// Zero-copy, on the device that the producer's memory belongs to: cuda's, or those of the kind of
// `device`.
NDArray from_cuda_array_interface(pybind11::handle producer, pybind11::handle device);

// What orders the work of two libraries on a device: numbers of streams as both protocols have
// them, 1 for the legacy default stream, 2 for the thread's, else a handle.
std::intptr_t to_stream_number(const char* op, pybind11::handle stream);  // ValueError on 0
std::intptr_t current_stream(const char* op, const Device& device);
void wait_for_stream(const char* op, const Device& device, std::intptr_t number);
// Somebody's stream may use a's memory, from now on and behind the work queued so far.
void hand_over(const char* op, const NDArray& a, std::intptr_t number);

}  // namespace needle::bind
