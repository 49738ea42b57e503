// The heap type: allocation, number slots, comparisons, container protocol, and one method per row
// of the op table.
#include "bind/ndarray_object.h"

#include <structmember.h>

#include <array>
#include <cstddef>
#include <new>

#include "bind/casters.h"
#include "bind/indexing.h"
#include "bind/interchange.h"
#include "bind/methods.h"

namespace needle::bind {

namespace {

PyTypeObject* type = nullptr;

NDArrayObject* object(PyObject* self) { return reinterpret_cast<NDArrayObject*>(self); }

PyObject* not_implemented() { return Py_NewRef(Py_NotImplemented); }

// --- life

PyObject* allocate(PyTypeObject* subtype, PyObject*, PyObject*) {
  PyObject* self = subtype->tp_alloc(subtype, 0);
  if (self) new (&object(self)->value) NDArray();
  return self;
}

int initialize(PyObject* self, PyObject* args, PyObject* kwargs) {
  return guarded(
      [&] {
        if (object(self)->value.storage().get()) {
          throw std::runtime_error(message("NDArray", "an array is initialised once"));
        }
        static const char* names[] = {"data", "device", "dtype", nullptr};
        PyObject *data, *device = Py_None, *dtype = Py_None;
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:NDArray", const_cast<char**>(names),
                                         &data, &device, &dtype)) {
          return -1;
        }
        object(self)->value = from_python(data, device, dtype);
        return 0;
      },
      -1);
}

void deallocate(PyObject* self) {
  PyTypeObject* own_type = Py_TYPE(self);
  if (object(self)->weak_references) PyObject_ClearWeakRefs(self);
  object(self)->value.~NDArray();
  own_type->tp_free(self);
  Py_DECREF(own_type);
}

// --- operators

template <UnaryOp op>
PyObject* unary_method(PyObject* self, PyObject*) {
  return guarded([&] {
    const NDArray& a = unwrap(self);
    return wrap(compute(a.size(), [&] { return a.unary(op); }));
  });
}

template <BinaryOp op>
PyObject* operator_slot(PyObject* a, PyObject* b) {
  return guarded([&] { return binary(op, a, b); });
}

PyObject* power_slot(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) return not_implemented();
  return operator_slot<BinaryOp::power>(a, b);
}

PyObject* matmul_slot(PyObject* a, PyObject* b) {
  if (!is_ndarray(a) || !is_ndarray(b)) return not_implemented();
  return guarded([&] { return wrap(matmul(unwrap(a), unwrap(b))); });
}

PyObject* negative_slot(PyObject* a) { return unary_method<UnaryOp::negate>(a, nullptr); }

PyObject* compare_slot(PyObject* a, PyObject* b, int comparison) {
  constexpr std::array ops = {BinaryOp::less,      BinaryOp::less_equal, BinaryOp::equal,
                              BinaryOp::not_equal, BinaryOp::greater,    BinaryOp::greater_equal};
  static_assert(Py_LT == 0 && Py_LE == 1 && Py_EQ == 2 && Py_NE == 3 && Py_GT == 4 && Py_GE == 5);
  return guarded([&] { return binary(ops[static_cast<std::size_t>(comparison)], a, b); });
}

int truth_slot(PyObject* self) {
  return guarded([&] { return PyObject_IsTrue(item(unwrap(self)).ptr()); }, -1);
}

PyObject* float_slot(PyObject* self) {
  return guarded([&] { return PyNumber_Float(item(unwrap(self)).ptr()); });
}

PyObject* int_slot(PyObject* self) {
  return guarded([&] { return PyNumber_Long(item(unwrap(self)).ptr()); });
}

// --- container protocol

Py_ssize_t length_slot(PyObject* self) {
  return guarded(
      [&] {
        const NDArray& a = unwrap(self);
        if (a.ndim() == 0) throw TypeMismatch(message("len", "a 0-d array has no length"));
        return static_cast<Py_ssize_t>(a.shape()[0]);
      },
      Py_ssize_t{-1});
}

PyObject* subscript_slot(PyObject* self, PyObject* key) {
  return guarded([&] { return wrap(get_item(unwrap(self), key)); });
}

int assign_slot(PyObject* self, PyObject* key, PyObject* value) {
  return guarded(
      [&] {
        if (!value) throw TypeMismatch(message("setitem", "elements cannot be deleted"));
        set_item(unwrap(self), key, value);
        return 0;
      },
      -1);
}

PyObject* sequence_item_slot(PyObject* self, Py_ssize_t i) {
  return guarded([&] {
    IndexItem index{};
    index.kind = IndexItem::Kind::integer;
    index.integer = i;
    return wrap(unwrap(self).index({&index, 1}));
  });
}

PyObject* iterate_slot(PyObject* self) {
  return guarded([&] {
    if (unwrap(self).ndim() == 0) throw TypeMismatch(message("iter", "a 0-d array has no items"));
    return PySeqIter_New(self);
  });
}

// --- the op table as methods

template <BinaryOp op>
PyObject* binary_method(PyObject* self, PyObject* other) {
  return guarded([&] {
    PyObject* result = binary(op, self, other);
    if (result == Py_NotImplemented) {
      Py_DECREF(result);
      throw TypeMismatch(message(name(op), "the other operand is an NDArray or a number", "type",
                                 Py_TYPE(other)->tp_name));
    }
    return result;
  });
}

// A cheap question: asked for every cotangent.
PyObject* is_like(PyObject* self, PyObject* other) {
  if (!is_ndarray(other)) Py_RETURN_FALSE;
  const NDArray &a = unwrap(self), &b = unwrap(other);
  if (a.shape() == b.shape() && a.dtype() == b.dtype() && &a.device() == &b.device()) {
    Py_RETURN_TRUE;
  }
  Py_RETURN_FALSE;
}

PyMethodDef op_methods[] = {
    {"is_like", is_like, METH_O,
     "is_like(other)\n\nWhether other is an NDArray of this shape, dtype and device."},
#define NEEDLE_UNARY(op, formula) \
  {#op, unary_method<UnaryOp::op>, METH_NOARGS, #op "()\n\nElementwise " #op "."},
#define NEEDLE_BINARY(op, formula)           \
  {#op, binary_method<BinaryOp::op>, METH_O, \
   #op "(other)\n\nElementwise " #op " with an NDArray (broadcast) or a number."},
#include "core/ops.def"
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(NDArrayObject, weak_references), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

constexpr char kDoc[] =
    "NDArray(data, device=None, dtype=None)\n\n"
    "A strided array on a device, made from a copy of data: numbers, nested lists, a numpy array "
    "or\n"
    "anything that converts to one, or an NDArray (whose device and dtype it keeps unless "
    "told).\n\n"
    "dtype: float32 unless given.";

template <class F>
PyType_Slot slot(int id, F* function) {
  return {id, reinterpret_cast<void*>(function)};
}

}  // namespace

PyTypeObject* make_ndarray_type(PyObject* module) {
  PyType_Slot slots[] = {
      slot(Py_tp_new, allocate),
      slot(Py_tp_init, initialize),
      slot(Py_tp_dealloc, deallocate),
      {Py_tp_doc, const_cast<char*>(kDoc)},
      {Py_tp_methods, op_methods},
      {Py_tp_members, members},
      {Py_tp_getset, properties},
      slot(Py_tp_richcompare, compare_slot),
      slot(Py_tp_hash, PyObject_HashNotImplemented),
      slot(Py_tp_iter, iterate_slot),
      slot(Py_nb_add, operator_slot<BinaryOp::add>),
      slot(Py_nb_subtract, operator_slot<BinaryOp::subtract>),
      slot(Py_nb_multiply, operator_slot<BinaryOp::multiply>),
      slot(Py_nb_true_divide, operator_slot<BinaryOp::divide>),
      slot(Py_nb_power, power_slot),
      slot(Py_nb_matrix_multiply, matmul_slot),
      slot(Py_nb_negative, negative_slot),
      slot(Py_nb_bool, truth_slot),
      slot(Py_nb_float, float_slot),
      slot(Py_nb_int, int_slot),
      slot(Py_mp_length, length_slot),
      slot(Py_mp_subscript, subscript_slot),
      slot(Py_mp_ass_subscript, assign_slot),
      slot(Py_sq_item, sequence_item_slot),
      slot(Py_bf_getbuffer, get_buffer),
      slot(Py_bf_releasebuffer, release_buffer),
      {0, nullptr},
  };
  PyType_Spec spec{.name = "needle._core.NDArray",
                   .basicsize = sizeof(NDArrayObject),
                   .itemsize = 0,
                   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                   .slots = slots};
  type = reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &spec, nullptr));
  if (!type) throw py::error_already_set();
  return type;
}

PyTypeObject* ndarray_type() { return type; }

NDArray matmul(const NDArray& a, const NDArray& b) {
  const std::int64_t columns = b.ndim() == 0 ? 1 : b.shape()[b.ndim() - 1];
  return compute(a.size() * columns, [&] { return NDArray::matmul(a, b); });
}

NDArray& unwrap(PyObject* ndarray) {
  NDArray& value = object(ndarray)->value;
  if (!value.storage().get()) {
    throw std::runtime_error(message("NDArray", "NDArray.__init__ has not run on this object"));
  }
  return value;
}

PyObject* wrap(NDArray value) {
  NDArrayObject* self = PyObject_New(NDArrayObject, type);  // tp_alloc would clear it first
  if (!self) throw py::error_already_set();
  new (&self->value) NDArray(std::move(value));
  self->weak_references = nullptr;
  return reinterpret_cast<PyObject*>(self);
}

void set_python_error() noexcept {
  try {
    throw;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const TypeMismatch& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::bad_alloc& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

bool to_number(PyObject* value, double* number) {
  if (PyFloat_Check(value)) {
    *number = PyFloat_AS_DOUBLE(value);
    return true;
  }
  // numpy scalars, but not complex ones, strings or dates
  static PyObject* real_numbers = [] {
    py::module_ numpy = py::module_::import("numpy");
    return py::make_tuple(numpy.attr("floating"), numpy.attr("integer"), numpy.attr("bool"))
        .release()
        .ptr();
  }();
  if (!PyLong_Check(value) && PyObject_IsInstance(value, real_numbers) != 1) return false;
  py::object converted = py::reinterpret_steal<py::object>(PyNumber_Float(value));
  if (!converted) {
    if (!PyErr_ExceptionMatches(PyExc_OverflowError)) throw py::error_already_set();
    PyErr_Clear();
    throw std::invalid_argument(message("NDArray", "a number lies within the range of float64",
                                        "value", "an int of more than 1023 bits"));
  }
  *number = PyFloat_AS_DOUBLE(converted.ptr());
  return true;
}

PyObject* binary(BinaryOp op, PyObject* a, PyObject* b) {
  const bool a_is_array = is_ndarray(a), b_is_array = is_ndarray(b);
  if (a_is_array && b_is_array) {
    const NDArray &x = unwrap(a), &y = unwrap(b);
    return wrap(compute(x.size() + y.size(), [&] { return NDArray::binary(op, x, y); }));
  }
  double number;
  PyObject* other = a_is_array ? b : a;
  if ((!a_is_array && !b_is_array) || !to_number(other, &number)) {
    if (py::isinstance<py::array>(other)) {  // numpy would answer with an array of its own
      throw TypeMismatch(message(name(op), "a numpy array is no operand: make it an NDArray"));
    }
    return not_implemented();
  }
  const NDArray& x = unwrap(a_is_array ? a : b);
  return wrap(compute(x.size(), [&] { return x.binary_scalar(op, number, b_is_array); }));
}

}  // namespace needle::bind
