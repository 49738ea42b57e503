// Device registration, memory statistics, checked mode, threads.
#include "bind/devices.h"

#include <omp.h>
#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "bind/ndarray_object.h"
#include "bind/py_backend.h"
#include "bind/streams.h"
#include "core/errors.h"
#include "cpu/backend.h"

namespace py = pybind11;

namespace needle::bind {

namespace {

constexpr char kBackendCapsule[] = "needle.Backend";

std::vector<Device*> devices;  // those with a face; a handful
Device* chosen_default = nullptr;

py::capsule to_capsule(Backend* backend) { return py::capsule(backend, kBackendCapsule); }

Device* add_device(const std::string& name, int index, const py::capsule& backend,
                   py::object face) {
  if (!backend.name() || std::string(backend.name()) != kBackendCapsule) {
    throw TypeMismatch(message("register_device", "backend is a capsule named needle.Backend"));
  }
  Device& device = register_device(name, index, backend.get_pointer<Backend>());
  device.face = face.release().ptr();  // devices live as long as the process
  devices.push_back(&device);
  if (!chosen_default) chosen_default = &device;
  return &device;
}

py::tuple computed_dtypes(const Device& device) {
  py::list names;
  for (const DType dtype : device.computed_dtypes()) names.append(name(dtype));
  return py::tuple(names);
}

py::dict memory_stats(const Device& device) {
  const AllocatorStats stats = device.allocator.stats();
  py::dict result;
  result["live_bytes"] = stats.live_bytes;
  result["live_blocks"] = stats.live_blocks;
  result["peak_bytes"] = stats.peak_bytes;
  result["cached_bytes"] = stats.cached_bytes;
  result["allocations"] = stats.allocations;
  result["cache_hits"] = stats.cache_hits;
  return result;
}

void set_num_threads(int threads) {
  if (threads < 1) {
    throw std::invalid_argument(message("set_num_threads", "at least one", "threads", threads));
  }
  omp_set_num_threads(threads);
}

}  // namespace

Device& default_device() {
  if (!chosen_default) {
    throw std::runtime_error(message("device", "no device is registered: import needle first"));
  }
  return *chosen_default;
}

Device* device_of_face(PyObject* face) noexcept {
  for (Device* device : devices) {
    if (device->face == face) return device;
  }
  return nullptr;
}

void define_devices(py::module_& module) {
  py::class_<Device, std::unique_ptr<Device, py::nodelete>>(module, "Device")
      .def_readonly("name", &Device::name)
      .def_readonly("index", &Device::index)
      .def_property_readonly("host_memory",
                             [](const Device& d) { return d.backend->host_memory(); })
      .def_property_readonly("computed_dtypes", computed_dtypes)
      .def("memory_stats", memory_stats)
      .def("reset_peak", [](Device& d) { d.allocator.reset_peak(); })
      .def("empty_cache", [](Device& d) { d.allocator.empty_cache(); })
      .def(
          "set_checked", [](Device& d, bool on) { d.allocator.set_checked(on); }, py::arg("on"))
      .def("checked", [](const Device& d) { return d.allocator.checked(); })
      .def("check_guards", [](Device& d) { return d.allocator.check_guards(); })
      .def("synchronize",
           [](Device& d) {
             py::gil_scoped_release release;
             d.backend->synchronize();
           })
      .def("properties", device_properties);

  module.def("register_device", add_device, py::return_value_policy::reference, py::arg("name"),
             py::arg("index"), py::arg("backend"), py::arg("face"));
  module.def("default_device", [] {
    return py::reinterpret_borrow<py::object>(static_cast<PyObject*>(default_device().face));
  });
  module.def("cpu_backend", [] { return to_capsule(cpu_backend()); });
  module.def(
      "numpy_backend",
      [](const py::module_& kernels) {
        return to_capsule(
            new PyBackend(kernels));  // as every backend, it lives as long as the process
      },
      py::arg("kernels"));
  module.def("isa", cpu_isa);
  module.def("set_num_threads", set_num_threads, py::arg("threads"));
  module.def("get_num_threads", omp_get_max_threads);
}

}  // namespace needle::bind
