// The Python modules needle._cuda and needle._cuda_sim (NEEDLE_MODULE names which): device
// discovery and the backend of a device as a capsule for needle._core. Plain C API: the module
// needs nothing else.
#include <Python.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../cuda/cuda_backend.h"
#include "../cuda/libraries/settings.h"
#if NEEDLE_SIM
#include "../cuda/sim/machine.h"
#include "../cuda/sim/scheduler.h"
#endif

namespace {

// What f returns; C++ exceptions become Python's.
template <class F>
PyObject* guarded(F&& f) {
  try {
    return f();
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyObject* backend(PyObject*, PyObject* argument) {
  const long index = PyLong_AsLong(argument);
  if (index == -1 && PyErr_Occurred() != nullptr) return nullptr;
  return guarded([&] {
    return PyCapsule_New(NEEDLE_NS::backend(static_cast<int>(index)), "needle.Backend", nullptr);
  });
}

PyObject* device_count(PyObject*, PyObject*) {
  return guarded([] { return PyLong_FromLong(NEEDLE_NS::device_count()); });
}

PyObject* unavailable_reason(PyObject*, PyObject*) {
  return guarded([] {
#if NEEDLE_SIM
    const std::string error = needle_sim::seed_error();
    if (!error.empty()) return PyUnicode_FromString(error.c_str());
#endif
    const auto reason = NEEDLE_NS::unavailable_reason();
    return reason ? PyUnicode_FromString(reason->c_str()) : Py_NewRef(Py_None);
  });
}

// name -> (version or None, why it is not used or None, calls that it computed, calls that our
// kernels did)
PyObject* libraries(PyObject*, PyObject*) {
  return guarded([]() -> PyObject* {
    PyObject* found = PyDict_New();
    if (found == nullptr) return nullptr;
    for (const auto& [name, report] : NEEDLE_NS::libraries::reports()) {
      PyObject* value = Py_BuildValue(
          "zzLL", report.reason.empty() ? report.version.c_str() : nullptr,
          report.reason.empty() ? nullptr : report.reason.c_str(),
          static_cast<long long>(report.taken), static_cast<long long>(report.refused));
      const bool stored = value != nullptr && PyDict_SetItemString(found, name.c_str(), value) == 0;
      Py_XDECREF(value);
      if (stored) continue;
      Py_DECREF(found);
      return nullptr;
    }
    return found;
  });
}

PyObject* set_library_folders(PyObject*, PyObject* argument) {
  std::vector<std::string> folders;
  PyObject* iterator = PyObject_GetIter(argument);
  if (iterator == nullptr) return nullptr;
  while (PyObject* item = PyIter_Next(iterator)) {
    const char* folder = PyUnicode_AsUTF8(item);
    if (folder != nullptr) folders.emplace_back(folder);
    Py_DECREF(item);
    if (folder == nullptr) break;
  }
  Py_DECREF(iterator);
  if (PyErr_Occurred() != nullptr) return nullptr;
  NEEDLE_NS::libraries::set_folders(std::move(folders));
  Py_RETURN_NONE;
}

PyObject* set_allow_tf32(PyObject*, PyObject* arguments) {
  int device = 0, allowed = 0;
  if (PyArg_ParseTuple(arguments, "ip", &device, &allowed) == 0) return nullptr;
  NEEDLE_NS::libraries::set_allow_tf32(device, allowed != 0);
  Py_RETURN_NONE;
}

#if NEEDLE_SIM
PyObject* set_seed(PyObject*, PyObject* argument) {
  const unsigned long long seed = PyLong_AsUnsignedLongLong(argument);
  if (PyErr_Occurred() != nullptr) return nullptr;
  needle_sim::set_seed(seed);
  Py_RETURN_NONE;
}

// The machine is another one; what is not given becomes as it is without a call.
PyObject* pretend(PyObject*, PyObject* arguments, PyObject* named) {
  needle_sim::Machine machine;
  static const char* names[] = {"driver", "runtime", "devices", "memory", "survives_fork", nullptr};
  Py_ssize_t memory = static_cast<Py_ssize_t>(machine.memory);
  int survives = machine.survives_fork ? 1 : 0;
  if (!PyArg_ParseTupleAndKeywords(arguments, named, "|$iiinp", const_cast<char**>(names),
                                   &machine.driver, &machine.runtime, &machine.devices, &memory,
                                   &survives)) {
    return nullptr;
  }
  machine.memory = static_cast<std::size_t>(memory);
  machine.survives_fork = survives != 0;
  needle_sim::machine = machine;
  Py_RETURN_NONE;
}

PyObject* get_seed(PyObject*, PyObject*) { return PyLong_FromUnsignedLongLong(needle_sim::seed()); }
#endif

PyMethodDef methods[] = {
    {"backend", backend, METH_O, "The backend of device `index`, a capsule named needle.Backend."},
    {"device_count", device_count, METH_NOARGS, "How many devices can be used."},
    {"unavailable_reason", unavailable_reason, METH_NOARGS,
     "Why no device can be used; None when one can."},
    {"libraries", libraries, METH_NOARGS,
     "NVIDIA's libraries by name: version, why it is not used, calls computed, calls left to "
     "ours."},
    {"set_library_folders", set_library_folders, METH_O,
     "Where to look for them before the system's own folders."},
    {"set_allow_tf32", set_allow_tf32, METH_VARARGS,
     "(index, allowed): whether float32 products may be TF32's."},
#if NEEDLE_SIM
    {"seed", get_seed, METH_NOARGS, "The seed of the order in which blocks and threads run."},
    {"set_seed", set_seed, METH_O, "Seeds the order in which blocks and threads run."},
    {"pretend", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(pretend)),
     METH_VARARGS | METH_KEYWORDS,
     "Makes the machine another one: driver, runtime (versions), devices, memory, survives_fork."},
#endif
    {nullptr, nullptr, 0, nullptr},
};

#define NEEDLE_TEXT_OF(name) #name
#define NEEDLE_TEXT(name) NEEDLE_TEXT_OF(name)
#define NEEDLE_INIT_OF(name) PyInit_##name
#define NEEDLE_INIT(name) NEEDLE_INIT_OF(name)

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "needle." NEEDLE_TEXT(NEEDLE_MODULE),
                          "needle's CUDA backend",
                          -1,
                          methods,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC NEEDLE_INIT(NEEDLE_MODULE)() { return PyModule_Create(&definition); }
