// numpy and the buffer protocol. Anything that shares memory keeps the array's storage alive.
#include "bind/interchange.h"

#include <string>
#include <vector>

#include "bind/casters.h"
#include "core/streams.h"

namespace needle::bind {

namespace {

std::vector<py::ssize_t> byte_strides(const NDArray& a) {
  std::vector<py::ssize_t> strides(a.strides().begin(), a.strides().end());
  for (auto& stride : strides) stride *= static_cast<py::ssize_t>(itemsize(a.dtype()));
  return strides;
}

std::size_t bytes(const NDArray& a) {
  return static_cast<std::size_t>(a.size()) * itemsize(a.dtype());
}

// Others may write through shared memory only where we would.
bool shared_writable(const NDArray& a) { return a.storage()->writable && !a.overlaps_itself(); }

// The struct-module letter of a dtype; nullptr where it has none.
const char* buffer_format(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "f";
    case DType::float64:
      return "d";
    case DType::int32:
      return "i";
    case DType::int64:
      return "q";
    case DType::boolean:
      return "?";
    case DType::float16:
      return "e";
    case DType::bfloat16:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

NDArray from_python(py::handle data, py::handle device, py::handle dtype) {
  if (is_ndarray(data.ptr())) {
    const NDArray& source = unwrap(data.ptr());
    const DType kept = dtype.is_none() ? source.dtype() : to_dtype(dtype);
    Device& target = device.is_none() ? source.device() : to_device(device);
    const NDArray moved = source.to(target);
    if (kept != source.dtype()) return moved.astype(kept);
    return moved.storage().get() == source.storage().get() ? moved.copy() : moved;
  }
  if (py::hasattr(data, "__cuda_array_interface__")) {
    Device& target = to_device(device);
    const NDArray there =
        from_cuda_array_interface(data, target.backend->runtime() ? device : py::none());
    return there.astype(dtype.is_none() ? DType::float32 : to_dtype(dtype)).to(target);
  }
  return from_numpy(data, to_device(device), dtype.is_none() ? DType::float32 : to_dtype(dtype));
}

NDArray from_numpy(py::handle data, Device& device, DType dtype, const char* op) {
  py::object array;
  try {
    array = py::module_::import("numpy").attr("asarray")(data);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    throw std::invalid_argument(message("NDArray", "nested lists are numbers, of one length each",
                                        "type", Py_TYPE(data.ptr())->tp_name));
  }
  const py::object held = array.attr("dtype");
  const bool real = std::string("biuf").find(held.attr("kind").cast<char>()) != std::string::npos;
  if (!real && held.attr("name").cast<std::string>() != name(DType::bfloat16)) {
    throw TypeMismatch(message("NDArray", "data must be real numbers", "dtype",
                               py::str(held).cast<std::string>()));
  }
  array = array.attr("astype")(numpy_dtype(dtype), py::arg("order") = "C", py::arg("copy") = false);
  const auto contiguous = py::reinterpret_borrow<py::array>(array);
  NDArray result = NDArray::empty(to_dims(array.attr("shape")), dtype, device);
  if (result.size() > 0) {
    forbid_copy_in_capture(op, device, CopyKind::to_device);
    device.backend->copy_bytes(result.data(), contiguous.data(), bytes(result),
                               CopyKind::to_device);
  }
  return result;
}

py::object to_numpy(const NDArray& a) {
  forbid_copy_in_capture("numpy", a.device(), CopyKind::to_host);
  const NDArray source = a.compact();
  py::array result(numpy_dtype(a.dtype()),
                   std::vector<py::ssize_t>(a.shape().begin(), a.shape().end()));
  if (a.size() > 0) {
    a.device().backend->copy_bytes(result.mutable_data(), source.data(), bytes(a),
                                   CopyKind::to_host);
  }
  return result;
}

py::object numpy_view(const NDArray& a) {
  if (!a.device().backend->host_memory()) {
    throw std::invalid_argument(message("__array__", "memory of the device cannot be shared",
                                        "device", a.device().repr(), "copy", "False"));
  }
  a.device().backend->synchronize();
  py::array result(numpy_dtype(a.dtype()),
                   std::vector<py::ssize_t>(a.shape().begin(), a.shape().end()), byte_strides(a),
                   a.data(), py::reinterpret_steal<py::object>(wrap(a)));
  if (!shared_writable(a)) result.attr("flags").attr("writeable") = false;
  return result;
}

py::object item(const NDArray& a) {
  if (a.size() != 1) {
    throw std::invalid_argument(
        message("item", "only an array of one element is a number", "shape", a.shape().str()));
  }
  forbid_copy_in_capture("item", a.device(), CopyKind::to_host);
  py::object result;
  visit_dtype(a.dtype(), [&](auto value) {
    using T = decltype(value);
    a.device().backend->copy_bytes(&value, a.data(), sizeof value, CopyKind::to_host);
    if constexpr (std::is_same_v<T, bool>) {
      result = py::bool_(value);
    } else if constexpr (std::is_integral_v<T>) {
      result = py::int_(value);
    } else {
      result = py::float_(Convert<double>::from(value));
    }
  });
  return result;
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  const auto refuse = [](const char* reason) {
    PyErr_SetString(PyExc_BufferError, reason);
    return -1;
  };
  return guarded(
      [&] {
        const NDArray& a = unwrap(self);
        const char* format = buffer_format(a.dtype());
        if (!a.device().backend->host_memory()) return refuse("[buffer] not in host memory");
        if (!format) return refuse("[buffer] bfloat16 has no buffer format");
        const bool writable = shared_writable(a);
        if ((flags & PyBUF_WRITABLE) && !writable) return refuse("[buffer] array is read-only");
        const bool wants_strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES;
        const bool wants_c = (flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS;
        const bool wants_fortran = (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS;
        if ((wants_fortran && a.ndim() > 1) || ((!wants_strides || wants_c) && !a.is_compact())) {
          return refuse("[buffer] array is not contiguous in that order");
        }
        a.device().backend->synchronize();
        // Shape, then strides; freed by release_buffer.
        auto* sizes = new std::vector<py::ssize_t>(a.shape().begin(), a.shape().end());
        for (py::ssize_t stride : byte_strides(a)) sizes->push_back(stride);
        view->obj = Py_NewRef(self);
        view->buf = a.data();
        view->len = static_cast<Py_ssize_t>(bytes(a));
        view->itemsize = static_cast<Py_ssize_t>(itemsize(a.dtype()));
        view->readonly = !writable;
        view->ndim = a.ndim();
        view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format) : nullptr;
        view->shape = (flags & PyBUF_ND) ? sizes->data() : nullptr;
        view->strides = wants_strides ? sizes->data() + a.ndim() : nullptr;
        view->suboffsets = nullptr;
        view->internal = sizes;
        return 0;
      },
      -1);
}

void release_buffer(PyObject*, Py_buffer* view) {
  delete static_cast<std::vector<py::ssize_t>*>(view->internal);
}

}  // namespace needle::bind
