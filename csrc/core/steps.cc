// Steps of optimizers and of LSTM cells: checks, then one call into the backend.
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

NDArray NDArray::sgd_step(const NDArray& grad, const NDArray* velocity, const SgdStep& step) const {
  constexpr const char* op = "sgd_step";
  detail::require_computed(op, *this);
  require_like(op, "grad.shape", grad, *this);
  if (velocity != nullptr) require_state(op, *velocity, *this);
  if ((velocity != nullptr) != (step.momentum != 0)) {
    throw std::invalid_argument(
        message(op, "there is a velocity with momentum, else none", "momentum", step.momentum));
  }
  NDArray out = empty(shape_, dtype_, device());
  if (out.size() > 0) {
    device().backend->sgd_step(out.view(), velocity == nullptr ? View{} : velocity->view(),
                               compact().view(), grad.compact().view(), step);
  }
  return out;
}

NDArray NDArray::adam_step(const NDArray& grad, const NDArray& first, const NDArray& second,
                           const AdamStep& step) const {
  constexpr const char* op = "adam_step";
  detail::require_computed(op, *this);
  require_like(op, "grad.shape", grad, *this);
  require_state(op, first, *this);
  require_state(op, second, *this);
  if (step.correction1 == 0 || step.correction2 == 0) {
    throw std::invalid_argument(message(op, "corrections are not 0", "corrections[0]",
                                        step.correction1, "corrections[1]", step.correction2));
  }
  NDArray out = empty(shape_, dtype_, device());
  if (out.size() > 0) {
    device().backend->adam_step(out.view(), first.view(), second.view(), compact().view(),
                                grad.compact().view(), step);
  }
  return out;
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
