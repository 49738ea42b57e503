// The Python modules needle._cuda and needle._cuda_sim (NEEDLE_MODULE names which): device
// discovery and the backend of a device as a capsule for needle._core. Plain C API: the module
// needs nothing else.
#include <Python.h>

#include <exception>
#include <stdexcept>

#include "../cuda/cuda_backend.h"
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
    const auto reason = NEEDLE_NS::unavailable_reason();
    return reason ? PyUnicode_FromString(reason->c_str()) : Py_NewRef(Py_None);
  });
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
