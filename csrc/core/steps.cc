// Steps of optimizers and of LSTM cells: checks, then one call into the backend.
#include <utility>

#include "detail.h"

namespace needle {
namespace {

void require_like(std::string_view op, const char* what, const NDArray& part, const NDArray& a) {
  detail::require_alike(op, a, part);
  if (part.shape() == a.shape()) return;
  throw std::invalid_argument(message(op, "arrays of a step have one shape", what,
                                      part.shape().str(), "shape", a.shape().str()));
}

void require_state(std::string_view op, const NDArray& state, const NDArray& p) {
  require_like(op, "state.shape", state, p);
  state.require_writable(op);
  if (state.is_compact()) return;
  throw std::invalid_argument(
      message(op, "the state is compact", "state.strides", state.strides().str()));
}

void require_parameter(std::string_view op, const NDArray& p, const NDArray& grad,
                       const NDArray& another) {
  detail::require_computed(op, p);
  detail::require_alike(op, another, p);
  require_like(op, "grad.shape", grad, p);
}

// New parameters, and the parts of those that have elements; keeps alive what parts view.
template <class Part>
struct Stepped {
  std::vector<NDArray> out, read;
  std::vector<Part> parts;

  explicit Stepped(std::size_t n) {
    out.reserve(n);
    read.reserve(2 * n);
    parts.reserve(n);
  }

  template <class Make>
  void add(const NDArray& p, const NDArray& grad, const Make& make) {
    out.push_back(NDArray::empty(p.shape(), p.dtype(), p.device()));
    if (p.size() == 0) return;
    read.push_back(p.compact());
    read.push_back(grad.compact());
    parts.push_back(make(out.back().view(), read[read.size() - 2].view(), read.back().view()));
  }
};

void require_cell(const NDArray& gates, const NDArray& c) {
  constexpr const char* op = "lstm_cell";
  detail::require_alike(op, gates, c);
  detail::require_computed(op, c);
  if (c.ndim() == 2 && gates.ndim() == 2 && gates.shape()[0] == c.shape()[0] &&
      gates.shape()[1] == 4 * c.shape()[1]) {
    return;
  }
  throw std::invalid_argument(message(op, "gates are (rows, 4 n) for c of (rows, n)", "gates.shape",
                                      gates.shape().str(), "c.shape", c.shape().str()));
}

}  // namespace

std::vector<NDArray> NDArray::sgd_steps(std::span<const SgdArrays> all, const SgdStep& step) {
  constexpr const char* op = "sgd_step";
  for (const auto& [p, grad, velocity] : all) {
    require_parameter(op, *p, *grad, *all[0].p);
    if (velocity != nullptr) require_state(op, *velocity, *p);
    if ((velocity != nullptr) != (step.momentum != 0)) {
      throw std::invalid_argument(
          message(op, "there is a velocity with momentum, else none", "momentum", step.momentum));
    }
  }
  Stepped<SgdPart> made(all.size());
  for (const auto& [p, grad, velocity] : all) {
    made.add(*p, *grad, [&, u = velocity](View out, View value, View along) {
      return SgdPart{out, u == nullptr ? View{} : u->view(), value, along};
    });
  }
  if (!made.parts.empty()) all[0].p->device().backend->sgd_step(made.parts, step);
  return std::move(made.out);
}

std::vector<NDArray> NDArray::adam_steps(std::span<const AdamArrays> all, const AdamStep& step) {
  constexpr const char* op = "adam_step";
  for (const auto& [p, grad, first, second] : all) {
    require_parameter(op, *p, *grad, *all[0].p);
    require_state(op, *first, *p);
    require_state(op, *second, *p);
  }
  if (step.correction1 == 0 || step.correction2 == 0) {
    throw std::invalid_argument(message(op, "corrections are not 0", "corrections[0]",
                                        step.correction1, "corrections[1]", step.correction2));
  }
  Stepped<AdamPart> made(all.size());
  for (const auto& [p, grad, first, second] : all) {
    made.add(*p, *grad, [m = first, v = second](View out, View value, View along) {
      return AdamPart{out, m->view(), v->view(), value, along};
    });
  }
  if (!made.parts.empty()) all[0].p->device().backend->adam_step(made.parts, step);
  return std::move(made.out);
}

std::array<NDArray, 2> NDArray::lstm_cell(const NDArray& gates, const NDArray& c) {
  require_cell(gates, c);
  std::array<NDArray, 2> out{empty(c.shape_, c.dtype_, c.device()),
                             empty(c.shape_, c.dtype_, c.device())};
  if (c.size() > 0) {
    c.device().backend->lstm_cell(out[0].view(), out[1].view(), gates.compact().view(),
                                  c.compact().view());
  }
  return out;
}

std::array<NDArray, 2> NDArray::lstm_cell_grad(const NDArray& gates, const NDArray& c,
                                               const NDArray& dh, const NDArray& dnext) {
  require_cell(gates, c);
  require_like("lstm_cell_grad", "dh.shape", dh, c);
  require_like("lstm_cell_grad", "dc.shape", dnext, c);
  std::array<NDArray, 2> out{empty(gates.shape_, c.dtype_, c.device()),
                             empty(c.shape_, c.dtype_, c.device())};
  if (c.size() > 0) {
    c.device().backend->lstm_cell_grad(out[0].view(), out[1].view(), gates.compact().view(),
                                       c.compact().view(), dh.compact().view(),
                                       dnext.compact().view());
  }
  return out;
}

}  // namespace needle
