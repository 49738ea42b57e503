// softmax, its logarithm, logsumexp and their gradients: a team of threads reads its row from
// memory once, and again from the caches.
// No exponential overflows, since a row's largest is taken off first. Compact arrays of one shape,
// rows along any of its axes. Source: Blanchard, D. Higham and N. Higham, "Accurately computing the
// log-sum-exp and softmax functions" (2021).
#include <cfloat>

#include "kernels.h"
#include "rows.cuh"

namespace NEEDLE_NS {
namespace {

using needle::SoftmaxOp;
using needle::View;

template <class T>
struct SoftmaxRow {
  SoftmaxOp op;
  T* dst;
  const T* a;

  template <class Team>
  __device__ void operator()(const Team& team) const {
    using V = Compute<T>;
    V top = team.template fold<reduce_max>([](V x) { return x; }, a);
    if (op == SoftmaxOp::logsumexp) {
      // Infinities are no shift: inf - inf would be NaN where the sum is inf or 0.
      const V largest = static_cast<V>(m::single<V> ? FLT_MAX : DBL_MAX);
      top = top > largest ? largest : top;
      top = top < -largest ? -largest : top;
    }
    const V total = team.template fold<reduce_sum>([=](V x) { return m::exp(x - top); }, a);
    if (op == SoftmaxOp::softmax) {
      return team.map(dst, [=](V x) { return m::exp(x - top) / total; }, a);
    }
    const V log_total = m::log(total);
    if (op == SoftmaxOp::logsoftmax) {
      // Both subtractions are small ones; x - (log_total + top) would round at top's scale.
      return team.map(dst, [=](V x) { return (x - top) - log_total; }, a);
    }
    team.put(dst, log_total + top);
  }
};

template <class T>
struct SoftmaxGradRow {
  SoftmaxOp op;
  T* dx;
  const T* y;
  const T* dy;

  template <class Team>
  __device__ void operator()(const Team& team) const {
    using V = Compute<T>;
    if (op == SoftmaxOp::softmax) {
      const V total = team.template fold<reduce_sum>([](V p, V g) { return g * p; }, y, dy);
      team.map(dx, [=](V p, V g) { return p * (g - total); }, y, dy);
    } else {
      const V total = team.template fold<reduce_sum>([](V g) { return g; }, dy);
      team.map(dx, [=](V p, V g) { return g - m::exp(p) * total; }, y, dy);
    }
  }
};

}  // namespace

void softmax(const Stream& stream, SoftmaxOp op, View dst, View a, unsigned axes) {
  needle::visit_floating(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_all_rows<T>(stream, needle::make_rows(a, axes), aligned_rows(dst, a),
                    SoftmaxRow<T>{op, static_cast<T*>(dst.data), static_cast<const T*>(a.data)});
  });
}

void softmax_grad(const Stream& stream, SoftmaxOp op, View dx, View y, View dy, unsigned axes) {
  needle::visit_floating(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_all_rows<T>(stream, needle::make_rows(dx, axes), aligned_rows(dx, y, dy),
                    SoftmaxGradRow<T>{op, static_cast<T*>(dx.data), static_cast<const T*>(y.data),
                                      static_cast<const T*>(dy.data)});
  });
}

}  // namespace NEEDLE_NS
