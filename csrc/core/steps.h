// The formulas of fused steps, written once for scalars and vectors V: optimizers, and what an LSTM
// does after its products. The including file has defined, in the same namespace, the functions of
// the op table (formulas.h). No device contracts: a step has the bits of the ops that it stands
// for. Source: Kingma and Ba, arXiv 1412.6980; Loshchilov and Hutter, arXiv 1711.05101; Hochreiter
// and Schmidhuber, "Long short-term memory" (1997), with Gers' forget gate (2000).
#pragma once

#include "backend.h"

namespace NEEDLE_NS::m {

#define NEEDLE_FORMULA \
  template <class V>   \
  static NEEDLE_HD NEEDLE_ALWAYS_INLINE

// The new parameter; u becomes the new velocity.
NEEDLE_FORMULA V sgd(const needle::SgdStep& step, V p, V grad, V& u) {
  if (step.weight_decay != 0) grad = grad + p * constant<V>(step.weight_decay);
  if (step.momentum != 0) {
    const V momentum = constant<V>(step.momentum);
    const V fresh = grad * constant<V>(step.undamped);
    if (step.first) {
      u = step.first_undamped ? grad : fresh;
    } else {
      u = u * momentum + fresh;
    }
    grad = step.nesterov ? u * momentum + fresh : u;
  }
  return p - grad * constant<V>(step.lr);
}

// The new parameter; first and second become the new moments.
NEEDLE_FORMULA V adam(const needle::AdamStep& step, V p, V grad, V& first, V& second) {
  if (step.weight_decay != 0) {
    if (step.decoupled) {
      p = p * constant<V>(1 - step.lr * step.weight_decay);
    } else {
      grad = grad + p * constant<V>(step.weight_decay);
    }
  }
  const V of_grad = grad * constant<V>(1 - step.beta1);
  const V of_square = grad * grad * constant<V>(1 - step.beta2);
  first = step.first ? of_grad : first * constant<V>(step.beta1) + of_grad;
  second = step.first ? of_square : second * constant<V>(step.beta2) + of_square;
  const V root = sqrt(second * constant<V>(1 / step.correction2)) + constant<V>(step.eps);
  return p - first / root * constant<V>(step.lr / step.correction1);
}

template <class V>
struct LstmCell {
  V h, c;
};

// gates before their functions
NEEDLE_FORMULA LstmCell<V> lstm(V i, V f, V g, V o, V c) {
  const V next = sigmoid(f) * c + sigmoid(i) * tanh(g);
  return {sigmoid(o) * tanh(next), next};
}

template <class V>
struct LstmGrad {
  V i, f, g, o, c;
};

// Of cotangents of h and of the next c. 1 - sigmoid(x) would cancel where it is small.
NEEDLE_FORMULA LstmGrad<V> lstm_grad(V i, V f, V g, V o, V c, V dh, V dnext) {
  const V one = constant<V>(1), in = sigmoid(i), keep = sigmoid(f), out = sigmoid(o),
          fresh = tanh(g);
  const V seen = tanh(keep * c + in * fresh);
  const V dc = dnext + dh * out * (one - seen * seen);
  return {dc * fresh * in * sigmoid(-i), dc * c * keep * sigmoid(-f),
          dc * in * (one - fresh * fresh), dh * seen * out * sigmoid(-o), dc * keep};
}

#undef NEEDLE_FORMULA

}  // namespace NEEDLE_NS::m
