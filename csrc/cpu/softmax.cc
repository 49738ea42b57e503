// softmax, its logarithm, logsumexp and their gradients, a row at a time while it is in cache.
// No exponential overflows, since a row's largest is taken off first. Compact arrays of one shape,
// rows along any of its axes. Source: Blanchard, D. Higham and N. Higham, "Accurately computing the
// log-sum-exp and softmax functions" (2021).
#include "decls.h"
#include "rows.h"

namespace NEEDLE_NS {

using needle::SoftmaxOp;
using needle::View;

template <class T, class R>
static void softmax_row(SoftmaxOp op, const R& row, T* dst, const T* a) {
  using V = vec<T>;
  constexpr int n = R::kStats;
  V top[n], total[n];
  row.template fold<reduce_max>(top, nullptr, Itself{}, a);
  if (op == SoftmaxOp::logsumexp) {
    // Infinities are no shift: inf - inf would be NaN where the sum is inf or 0.
    const V largest = broadcast<V>(m::format<T>::kLargest);
    for (V& t : top) {
      t = t > largest ? largest : t;
      t = t < -largest ? -largest : t;
    }
  }
  row.template fold<reduce_sum>(
      total, op == SoftmaxOp::softmax ? dst : nullptr,
      [&](int k, V x) { return m::exp(x - top[k]); }, a);
  if (op == SoftmaxOp::softmax) {
    return row.map(dst, [&](int k, V power) { return power / total[k]; }, dst);
  }
  for (V& t : total) t = m::log(t);
  if (op == SoftmaxOp::logsoftmax) {
    // Both subtractions are small ones; x - (total + top) would round at top's scale.
    return row.map(dst, [&](int k, V x) { return (x - top[k]) - total[k]; }, a);
  }
  for (int k = 0; k < n; ++k) total[k] = total[k] + top[k];
  row.put(dst, total);
}

template <class T, class R>
static void softmax_grad_row(SoftmaxOp op, const R& row, T* dx, const T* y, const T* dy) {
  using V = vec<T>;
  V total[R::kStats];
  if (op == SoftmaxOp::softmax) {
    row.template fold<reduce_sum>(total, nullptr, [](int, V p, V g) { return g * p; }, y, dy);
    row.map(dx, [&](int k, V p, V g) { return p * (g - total[k]); }, y, dy);
  } else {
    row.template fold<reduce_sum>(total, nullptr, Itself{}, dy);
    row.map(dx, [&](int k, V p, V g) { return g - m::exp(p) * total[k]; }, y, dy);
  }
}

void softmax(SoftmaxOp op, View dst, View a, unsigned axes) {
  needle::visit_computed(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* result = static_cast<T*>(dst.data);
    const bool whole = op != SoftmaxOp::logsumexp;
    for_all_rows(
        needle::make_rows(a, axes),
        [&](const auto& row, T* to, const T* from) {
          softmax_row(op, row, whole ? to : result, from);
        },
        whole ? result : nullptr, static_cast<const T*>(a.data));
  });
}

void softmax_grad(SoftmaxOp op, View dx, View y, View dy, unsigned axes) {
  needle::visit_computed(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_all_rows(
        needle::make_rows(dx, axes),
        [&](const auto& row, T* to, const T* of_y, const T* of_dy) {
          softmax_grad_row(op, row, to, of_y, of_dy);
        },
        static_cast<T*>(dx.data), static_cast<const T*>(y.data), static_cast<const T*>(dy.data));
  });
}

}  // namespace NEEDLE_NS
