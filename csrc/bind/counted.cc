// Counted: a base for Python classes that tells how many objects of theirs live. A `__del__` in
// Python would cost as much as the rest of a small op.
#include "bind/counted.h"

namespace needle::bind {

namespace {

Py_ssize_t alive = 0;

PyObject* allocate(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) ++alive;
  return self;
}

void deallocate(PyObject* self) {
  --alive;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

}  // namespace

void define_counted(pybind11::module_& module) {
  PyType_Slot slots[] = {
      {Py_tp_new, reinterpret_cast<void*>(allocate)},
      {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
      {Py_tp_doc, const_cast<char*>("A base whose objects are counted while they live.")},
      {0, nullptr}};
  PyType_Spec spec = {"needle._core.Counted", sizeof(PyObject), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (type == nullptr) throw pybind11::error_already_set();
  module.attr("Counted") = pybind11::reinterpret_steal<pybind11::object>(type);
  module.def("counted", [] { return alive; });
}

}  // namespace needle::bind
