// __cuda_array_interface__, version 3, and the order between our streams and others'.
#include <array>
#include <bit>
#include <string>

#include "bind/casters.h"
#include "bind/interchange.h"
#include "core/streams.h"

namespace needle::bind {

namespace {

constexpr char kName[] = "__cuda_array_interface__";
constexpr char kOp[] = "cuda_array_interface";

// As numpy writes dtypes; bfloat16 has no such name.
constexpr std::array<const char*, kDTypeCount> kTypes = {"<f4", "<f8", "<i4",  "<i8",
                                                         "|b1", "<f2", nullptr};
static_assert(std::endian::native == std::endian::little);

DType to_dtype(const std::string& text) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i] && text == kTypes[i]) return static_cast<DType>(i);
  }
  throw TypeMismatch(
      message(kOp, "elements must be of a dtype that NDArray holds", "typestr", text));
}

// A member of the interface; ValueError when it is missing or of another type than T.
template <class T>
T member(const py::dict& interface, const char* name) {
  try {
    return interface[name].cast<T>();
  } catch (const std::exception&) {
    PyErr_Clear();
    throw std::invalid_argument(
        message(kOp, "a member is missing or of the wrong type", "member", name));
  }
}

void* to_handle(std::intptr_t number) {
  // The legacy default stream has two names.
  return number == 1 ? nullptr : reinterpret_cast<void*>(number);
}

}  // namespace

std::intptr_t to_stream_number(const char* op, py::handle stream) {
  std::intptr_t number = 0;
  if (!PyLong_Check(stream.ptr())) {
    throw TypeMismatch(
        message(op, "a stream is an int or None", "type", Py_TYPE(stream.ptr())->tp_name));
  }
  try {
    number = stream.cast<std::intptr_t>();
  } catch (const py::cast_error&) {
    PyErr_Clear();
  }
  if (number >= -1 && number != 0) return number;
  throw std::invalid_argument(message(op, "a stream is -1, 1, 2 or a handle", "stream",
                                      py::str(stream).cast<std::string>()));
}

std::intptr_t current_stream(const char* op, const Device& device) {
  const Runtime& runtime = require_runtime(op, device);
  forbid_in_capture(op, "arrays cannot be exchanged", runtime);
  const void* const stream = runtime.stream();
  return stream == nullptr ? 1 : reinterpret_cast<std::intptr_t>(stream);
}

void wait_for_stream(const char* op, const Device& device, std::intptr_t number) {
  Runtime& runtime = require_runtime(op, device);
  forbid_in_capture(op, "arrays cannot be exchanged", runtime);
  if (number != -1) runtime.order(runtime.stream(), to_handle(number));
}

void hand_over(const char* op, const NDArray& a, std::intptr_t number) {
  Runtime& runtime = require_runtime(op, a.device());
  forbid_in_capture(op, "arrays cannot be exchanged", runtime);
  void* const ours = runtime.stream();
  if (number != -1) runtime.order(to_handle(number), ours);
  // Who shares our stream needs no other order.
  if (number == -1 || to_handle(number) != ours) a.storage()->exported = true;
}

py::object cuda_array_interface(const NDArray& a) {
  if (a.device().name != "cuda") {
    throw py::attribute_error(
        message(kOp, "only arrays on cuda have it", "device", a.device().repr()));
  }
  const char* type = kTypes[static_cast<std::size_t>(a.dtype())];
  if (!type) throw py::attribute_error(message(kOp, "bfloat16 has no typestr"));
  hand_over(kOp, a, -1);  // the consumer waits for the stream that it is told
  const bool writable = a.storage()->writable && !a.overlaps_itself();
  py::dict interface;
  interface["version"] = 3;
  interface["shape"] = to_tuple(a.shape());
  interface["typestr"] = type;
  const auto address = a.size() > 0 ? reinterpret_cast<std::uintptr_t>(a.data()) : 0;
  interface["data"] = py::make_tuple(address, !writable);
  if (a.is_compact()) {
    interface["strides"] = py::none();
  } else {
    Dims strides = a.strides();
    for (int i = 0; i < strides.size(); ++i)
      strides[i] *= static_cast<std::int64_t>(itemsize(a.dtype()));
    interface["strides"] = to_tuple(strides);
  }
  interface["stream"] = current_stream(kOp, a.device());
  return interface;
}

NDArray from_cuda_array_interface(py::handle producer, py::handle device) {
  if (!py::hasattr(producer, kName)) {
    throw TypeMismatch(message(kOp, "the object offers __cuda_array_interface__", "type",
                               Py_TYPE(producer.ptr())->tp_name));
  }
  const py::object offered = producer.attr(kName);
  if (!py::isinstance<py::dict>(offered))
    throw TypeMismatch(
        message(kOp, "the interface is a dict", "type", Py_TYPE(offered.ptr())->tp_name));
  const auto interface = py::reinterpret_borrow<py::dict>(offered);
  const auto present = [&](const char* name) {
    return interface.contains(name) && !interface[name].is_none();
  };
  if (present("mask"))
    throw std::invalid_argument(message(kOp, "masked arrays are not understood"));
  const DType dtype = to_dtype(member<std::string>(interface, "typestr"));
  const auto item = static_cast<std::int64_t>(itemsize(dtype));
  const Dims shape = to_dims(member<py::tuple>(interface, "shape"));
  Dims strides = compact_strides(shape);
  if (present("strides")) {
    strides = to_dims(member<py::tuple>(interface, "strides"));
    for (int i = 0; i < strides.size(); ++i) {
      if (strides[i] % item != 0) {
        throw std::invalid_argument(
            message(kOp, "strides are whole elements", "strides", strides.str(), "itemsize", item));
      }
      strides[i] /= item;
    }
  }
  const auto [address, read_only] = member<std::pair<std::uintptr_t, bool>>(interface, "data");
  auto* const data = reinterpret_cast<void*>(address);
  const py::module_ devices = py::module_::import("needle.backend_ndarray.device");
  Device* home = &to_device(device.is_none() ? devices.attr("cuda")() : device);
  Runtime& runtime = require_runtime(kOp, *home);
  if (data != nullptr) {
    const int index = runtime.owner(data);
    if (index < 0) {
      throw std::invalid_argument(
          message(kOp, "memory must be of a CUDA device", "device", home->repr()));
    }
    home = &to_device(devices.attr("device")(home->name, index));
  }
  if (present("stream")) wait_for_stream(kOp, *home, to_stream_number(kOp, interface["stream"]));
  // The producer is kept, as its memory is.
  PyObject* const owner = producer.inc_ref().ptr();
  try {
    return NDArray::foreign(data, shape, strides, dtype, *home, !read_only, [owner] {
      if (!Py_IsInitialized()) return;
      py::gil_scoped_acquire gil;
      Py_DECREF(owner);
    });
  } catch (...) {
    Py_DECREF(owner);
    throw;
  }
}

}  // namespace needle::bind
