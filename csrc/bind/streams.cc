#include "bind/streams.h"

#include "bind/casters.h"
#include "core/streams.h"

namespace needle::bind {

namespace {

constexpr auto kDevice = "device";

template <class T>
std::unique_ptr<T> made_on(DeviceArgument device) {
  return std::make_unique<T>(device);
}

}  // namespace

py::dict device_properties(const Device& device) {
  Runtime& runtime = require_runtime("properties", device);
  const DeviceProperties found = runtime.properties();
  const MemoryRoom room = runtime.room();
  py::dict result;
  result["name"] = found.name;
  result["capability"] = py::make_tuple(found.major, found.minor);
  result["multiprocessors"] = found.multiprocessors;
  result["free_bytes"] = room.free_bytes;
  result["total_bytes"] = room.total_bytes;
  return result;
}

void define_streams(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> without_gil;  // these wait

  py::class_<Event>(module, "Event", "A point in the work of a stream. See BackendDevice.event.")
      .def(py::init(&made_on<Event>), py::arg(kDevice))
      .def("record", &Event::record, "Puts the event behind the work queued so far.")
      .def("synchronize", &Event::synchronize, "Waits until the event is reached.", without_gil)
      .def("query", &Event::query, "Whether the event has been reached.")
      .def("elapsed_ms", &Event::elapsed_ms, py::arg("later"),
           "Milliseconds from this event to a later one; waits for both.", without_gil);

  py::class_<Stream>(module, "Stream", "A queue of work. See BackendDevice.stream.")
      .def(py::init(&made_on<Stream>), py::arg(kDevice))
      .def("__enter__",
           [](py::object self) {
             self.cast<Stream&>().enter();
             return self;
           })
      .def("__exit__", [](Stream& self, const py::args&) { self.leave(); })
      .def("synchronize", &Stream::synchronize, "Waits until the work queued so far is done.",
           without_gil)
      .def("wait", &Stream::wait, py::arg("event"),
           "Lets what is queued from now on wait for an event.")
      .def_property_readonly(
          "handle",
          [](const Stream& self) { return reinterpret_cast<std::uintptr_t>(self.handle()); },
          "The cudaStream_t as an int: what torch.cuda.ExternalStream takes.");

  py::class_<Graph>(module, "Graph")
      .def(py::init(&made_on<Graph>), py::arg(kDevice))
      .def("begin", &Graph::begin)
      .def("end", &Graph::end)
      .def("abandon", &Graph::abandon)
      .def("await_last", &Graph::await_last)
      .def("replay", &Graph::replay);
}

}  // namespace needle::bind
