// DLPack: zero-copy exchange with numpy, torch and others, in the versioned form and the one before
// it.
#include <array>
#include <memory>
#include <string>

#include "bind/casters.h"
#include "bind/devices.h"
#include "bind/dlpack_abi.h"
#include "bind/interchange.h"
#include "core/streams.h"

namespace needle::bind {

namespace {

constexpr std::array<dlpack::DataType, kDTypeCount> kTypes = {{{dlpack::kFloat, 32, 1},
                                                               {dlpack::kFloat, 64, 1},
                                                               {dlpack::kInt, 32, 1},
                                                               {dlpack::kInt, 64, 1},
                                                               {dlpack::kBool, 8, 1},
                                                               {dlpack::kFloat, 16, 1},
                                                               {dlpack::kBfloat, 16, 1}}};

dlpack::Device device_of(const NDArray& a) {
  if (a.device().backend->host_memory()) return {dlpack::kCpu, 0};
  // The simulator's memory is its own: nobody else may take it for a GPU's or for the host's.
  return {a.device().name == "cuda" ? dlpack::kCuda : dlpack::kExtension, a.device().index};
}

// Two ints, as the standard says of `what`; TypeError for anything else.
std::pair<int, int> to_pair(const char* op, const char* what, py::handle value) {
  try {
    return value.cast<std::pair<int, int>>();
  } catch (const py::cast_error&) {
    PyErr_Clear();
    throw TypeMismatch(message(op, std::string(what) + " is a pair of ints", "value",
                               py::repr(value).cast<std::string>()));
  }
}

// --- export: the consumer owns this object, which owns the array

template <class Managed>
struct Exported {
  Managed managed{};
  NDArray array;

  explicit Exported(NDArray value) : array(std::move(value)) {
    managed.tensor = {array.data(),
                      device_of(array),
                      array.ndim(),
                      kTypes[static_cast<std::size_t>(array.dtype())],
                      const_cast<std::int64_t*>(array.shape().begin()),
                      const_cast<std::int64_t*>(array.strides().begin()),
                      0};
    managed.context = this;
    managed.deleter = [](Managed* self) { delete static_cast<Exported*>(self->context); };
  }
};

template <class Managed>
py::object to_capsule(std::unique_ptr<Exported<Managed>> exported, const char* name) {
  PyObject* capsule = PyCapsule_New(&exported->managed, name, [](PyObject* self) {
    // Consumers rename what they take; one that nobody took is freed here.
    const char* held = PyCapsule_GetName(self);
    if (std::string(held).rfind("used_", 0) == 0) return;
    auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(self, held));
    managed->deleter(managed);
  });
  if (!capsule) throw py::error_already_set();
  exported.release();
  return py::reinterpret_steal<py::object>(capsule);
}

// --- import

Device& cuda_device(int index) {
  return to_device(py::module_::import("needle.backend_ndarray.device").attr("cuda")(index));
}

DType to_dtype(dlpack::DataType type) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (type.code == kTypes[i].code && type.bits == kTypes[i].bits && type.lanes == 1) {
      return static_cast<DType>(i);
    }
  }
  throw TypeMismatch(message("from_dlpack", "elements must be of a dtype that NDArray holds",
                             "code", int{type.code}, "bits", int{type.bits}, "lanes", type.lanes));
}

// The stream that we ask a producer of CUDA memory to wait in: ours. Others take none.
py::dict stream_for(py::handle producer) {
  py::dict wanted;
  if (!py::hasattr(producer, "__dlpack_device__")) return wanted;
  const auto place =
      to_pair("from_dlpack", "__dlpack_device__()", producer.attr("__dlpack_device__")());
  if (place.first == dlpack::kCuda || place.first == dlpack::kCudaManaged)
    wanted["stream"] = current_stream("from_dlpack", cuda_device(place.second));
  return wanted;
}

// Where the producer's memory is, among our devices; `wanted` when that can reach it directly.
Device& home(dlpack::Device place, py::handle wanted) {
  const bool on_host = place.type == dlpack::kCpu || place.type == dlpack::kCudaHost;
  if (!on_host && place.type != dlpack::kCuda && place.type != dlpack::kCudaManaged) {
    throw std::invalid_argument(
        message("from_dlpack", "memory must be the host's or CUDA's", "device_type", place.type));
  }
  if (on_host) {
    Device& candidate = to_device(wanted);
    return candidate.backend->host_memory() ? candidate : *find_device("cpu", 0);
  }
  return cuda_device(place.index);
}

NDArray adopt(const dlpack::Tensor& tensor, py::handle wanted, bool writable,
              std::function<void()> release) {
  const DType dtype = to_dtype(tensor.dtype);
  const auto ndim = static_cast<std::size_t>(tensor.ndim);
  const Dims shape(std::span<const std::int64_t>(tensor.shape, ndim));
  const Dims strides = tensor.strides ? Dims(std::span<const std::int64_t>(tensor.strides, ndim))
                                      : compact_strides(shape);
  char* data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  if (reinterpret_cast<std::uintptr_t>(data) % itemsize(dtype) != 0) {
    throw std::invalid_argument(message("from_dlpack", "memory must be aligned to its elements"));
  }
  Device& device = home(tensor.device, wanted);
  return NDArray::foreign(data, shape, strides, dtype, device, writable, std::move(release));
}

// Takes the tensor out of its capsule: after success the array, not the capsule, calls the
// producer's deleter.
template <class Managed>
NDArray take(py::handle capsule, const char* name, const char* used_name, py::handle wanted,
             bool writable) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
  NDArray result = adopt(managed->tensor, wanted, writable, [managed] {
    if (!managed->deleter || !Py_IsInitialized()) return;
    py::gil_scoped_acquire gil;
    managed->deleter(managed);
  });
  if (PyCapsule_SetName(capsule.ptr(), used_name) != 0) throw py::error_already_set();
  return result;
}

}  // namespace

py::tuple dlpack_device(const NDArray& a) {
  const dlpack::Device place = device_of(a);
  return py::make_tuple(static_cast<int>(place.type), static_cast<int>(place.index));
}

py::object to_dlpack(const NDArray& a, py::handle stream, py::handle max_version,
                     py::handle dl_device, std::optional<bool> copy) {
  const bool cuda = device_of(a).type == dlpack::kCuda;
  // None stands for the legacy default stream; -1 asks for no order.
  const std::intptr_t number = stream.is_none() ? 1 : to_stream_number("dlpack", stream);
  if (!cuda && !stream.is_none() && number != -1) {
    throw std::invalid_argument(message("dlpack", "only CUDA's memory is handed to a stream",
                                        "stream", number, "device", a.device().repr()));
  }
  const bool versioned =
      !max_version.is_none() && to_pair("dlpack", "max_version", max_version).first >= 1;
  if (Runtime* const runtime = a.device().backend->runtime())
    forbid_in_capture("dlpack", "arrays cannot be exchanged", *runtime);
  NDArray source = a;
  bool copied = copy.value_or(false);
  if (!dl_device.is_none() && !dlpack_device(a).equal(dl_device)) {
    if (to_pair("dlpack", "dl_device", dl_device) != std::pair<int, int>{dlpack::kCpu, 0}) {
      throw py::buffer_error("[dlpack] arrays are exported to their own device or the host");
    }
    if (copy == false) throw py::buffer_error("[dlpack] another device needs a copy");
    source = a.to(*find_device("cpu", 0));
    copied = true;
  } else if (copied) {
    source = a.copy();
  }
  for (const std::int64_t stride : source.strides()) {
    // The standard allows them, but torch's importer ends the process on them.
    if (stride < 0)
      throw py::buffer_error("[dlpack] negative strides: use .compact() or copy=True");
  }
  if (device_of(source).type == dlpack::kCuda) {
    hand_over("dlpack", source, number);
  } else {
    source.device().backend->synchronize();
  }
  const bool locked = !source.storage()->writable;
  if (versioned) {
    auto exported = std::make_unique<Exported<dlpack::ManagedTensorVersioned>>(std::move(source));
    exported->managed.version = {1, 0};
    const bool read_only = locked || exported->array.overlaps_itself();
    exported->managed.flags = (read_only ? dlpack::kReadOnly : 0) | (copied ? dlpack::kCopied : 0);
    return to_capsule(std::move(exported), dlpack::kVersioned);
  }
  if (locked) {
    throw py::buffer_error("[dlpack] read-only memory needs max_version=(1, 0) or later");
  }
  return to_capsule(std::make_unique<Exported<dlpack::ManagedTensor>>(std::move(source)),
                    dlpack::kLegacy);
}

NDArray from_dlpack(py::handle producer, py::handle device) {
  if (!py::hasattr(producer, "__dlpack__")) {
    throw TypeMismatch(message("from_dlpack", "the object offers __dlpack__", "type",
                               Py_TYPE(producer.ptr())->tp_name));
  }
  py::dict wanted = stream_for(producer);
  const py::dict old = wanted.attr("copy")();
  wanted["max_version"] = py::make_tuple(1, 0);
  py::object capsule;
  try {
    capsule = producer.attr("__dlpack__")(**wanted);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
    capsule = producer.attr("__dlpack__")(**old);  // a producer older than DLPack 1.0
  }
  if (!PyCapsule_CheckExact(capsule.ptr())) {
    throw TypeMismatch(message("from_dlpack", "__dlpack__() gives a capsule", "type",
                               Py_TYPE(capsule.ptr())->tp_name));
  }
  NDArray result;
  if (PyCapsule_IsValid(capsule.ptr(), dlpack::kVersioned)) {
    const auto* managed = static_cast<dlpack::ManagedTensorVersioned*>(
        PyCapsule_GetPointer(capsule.ptr(), dlpack::kVersioned));
    if (managed->version.major != 1) {
      throw py::buffer_error("[from_dlpack] only DLPack 1.x is understood");
    }
    result =
        take<dlpack::ManagedTensorVersioned>(capsule, dlpack::kVersioned, dlpack::kVersionedUsed,
                                             device, !(managed->flags & dlpack::kReadOnly));
  } else if (!PyCapsule_IsValid(capsule.ptr(), dlpack::kLegacy)) {
    const char* const held = PyCapsule_GetName(capsule.ptr());
    throw std::invalid_argument(message("from_dlpack",
                                        "the capsule holds a tensor that nobody has taken", "name",
                                        held == nullptr ? "None" : held));
  } else {
    result =
        take<dlpack::ManagedTensor>(capsule, dlpack::kLegacy, dlpack::kLegacyUsed, device, true);
  }
  return device.is_none() ? result : result.to(to_device(device));
}

}  // namespace needle::bind
