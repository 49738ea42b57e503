// The two measurements of csrc/cpu/limits.cc. They take no time themselves: the caller does.
#include "bind/limits.h"

#include <optional>
#include <stdexcept>

#include "bind/casters.h"
#include "core/errors.h"
#include "cpu/backend.h"
#include "cpu/kernels.h"

namespace py = pybind11;

namespace needle::bind {

namespace {

double multiply_adds(DType dtype, std::int64_t rounds) {
  if (dtype != DType::float32 && dtype != DType::float64) {
    throw TypeMismatch(
        message("limits", "float32 or float64 is computed", "dtype", std::string(name(dtype))));
  }
  py::gil_scoped_release release;
  return cpu_kernels().multiply_adds(dtype, rounds);
}

// Vectors of every instruction set, whole blocks of them: no element is left over.
void require_blocks(const NDArray& a) {
  constexpr std::int64_t block = 128;
  const auto address = reinterpret_cast<std::uintptr_t>(a.view().data);
  if (a.dtype() != DType::float32 || !a.is_compact() || a.size() % block != 0 ||
      !a.device().backend->host_memory() || address % 64 != 0) {
    throw std::invalid_argument(
        message("limits", "fresh float32 arrays of n * 128 elements on the cpu are moved"));
  }
}

void move(const std::optional<NDArray>& dst, const NDArray& src, std::int64_t times, bool past) {
  require_blocks(src);
  if (dst) {
    require_blocks(*dst);
    dst->require_writable("limits");
    if (dst->size() != src.size()) {
      throw std::invalid_argument(message("limits", "both arrays have one size"));
    }
  }
  void* to = dst ? dst->view().data : nullptr;
  const View from = src.view();
  py::gil_scoped_release release;
  cpu_kernels().move(to, from.data, src.size() * 4, times, past);
}

}  // namespace

void define_limits(py::module_& module) {
  module.def("limit_multiply_adds", multiply_adds, py::arg("dtype"), py::arg("rounds"));
  module.def("limit_move", move, py::arg("dst"), py::arg("src"), py::arg("times"),
             py::arg("past") = false);
}

}  // namespace needle::bind
