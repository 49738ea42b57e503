// Index expressions: Python's a[key] as the core's IndexItems.
#include "bind/indexing.h"

#include <vector>

#include "bind/casters.h"
#include "bind/interchange.h"

namespace needle::bind {

namespace {

std::optional<std::int64_t> slice_bound(PyObject* bound) {
  if (bound == Py_None) return std::nullopt;
  const Py_ssize_t value = PyNumber_AsSsize_t(bound, nullptr);  // clips, as slices do
  if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

IndexItem to_item(PyObject* key) {
  IndexItem item{};
  if (key == Py_None) {
    item.kind = IndexItem::Kind::newaxis;
  } else if (key == Py_Ellipsis) {
    item.kind = IndexItem::Kind::ellipsis;
  } else if (PySlice_Check(key)) {
    const auto* slice = reinterpret_cast<PySliceObject*>(key);
    item.kind = IndexItem::Kind::slice;
    item.start = slice_bound(slice->start);
    item.stop = slice_bound(slice->stop);
    item.step = slice_bound(slice->step);
  } else if (PyIndex_Check(key) && !PyBool_Check(key)) {
    item.kind = IndexItem::Kind::integer;
    item.integer = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (item.integer == -1 && PyErr_Occurred()) throw py::error_already_set();
  } else {
    throw TypeMismatch(message("getitem", "an index is made of ints, slices, None and ...", "type",
                               Py_TYPE(key)->tp_name));
  }
  return item;
}

}  // namespace

NDArray get_item(const NDArray& a, py::handle key) {
  std::vector<IndexItem> items;
  if (PyTuple_Check(key.ptr())) {
    for (py::handle part : py::reinterpret_borrow<py::tuple>(key)) {
      items.push_back(to_item(part.ptr()));
    }
  } else {
    items.push_back(to_item(key.ptr()));
  }
  return a.index(items);
}

void set_item(const NDArray& a, py::handle key, py::handle value) {
  a.require_writable("setitem");  // whatever part of a broadcast view is meant
  NDArray target = get_item(a, key);
  double number;
  if (is_ndarray(value.ptr())) {
    target.assign(unwrap(value.ptr()));
  } else if (to_number(value.ptr(), &number)) {
    target.fill(to_scalar(value));
  } else {
    target.assign(from_numpy(value, a.device(), a.dtype(), "setitem"));
  }
}

}  // namespace needle::bind
