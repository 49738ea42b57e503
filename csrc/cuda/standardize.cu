// Rows with mean 0 and variance 1, times weight plus bias, and the gradient; shapes and source as
// in cpu/standardize.cc. Statistics are kept in the precision of the computation.
#include "kernels.h"
#include "rows.cuh"

namespace NEEDLE_NS {
namespace {

using needle::Standardized;
using needle::View;

template <class T>
T* data(const View& v) {
  return static_cast<T*>(v.data);
}

// What weights there are: none, one for each row, one for each place in a row.
enum class Weights { none, by_row, by_place };

Weights kind_of(const View& weight, const needle::RowLayout& rows, unsigned axes) {
  if (weight.data == nullptr) return Weights::none;
  return needle::one_for_each_row(weight, rows, axes) ? Weights::by_row : Weights::by_place;
}

template <class T>
struct StandardizeRow {
  T* y;
  Compute<T>*mean, *variance, *inverse;
  const T *x, *weight, *bias;
  Weights kind;
  Compute<T> eps, length;

  template <class Team>
  __device__ void operator()(const Team& team) const {
    using V = Compute<T>;
    const V middle = team.template fold<reduce_sum>([](V v) { return v; }, x) / length;
    const V spread = team.template fold<reduce_sum>(
                         [=](V v) {
                           const V centred = v - middle;
                           return centred * centred;
                         },
                         x) /
                     length;
    const V scale = unary_rsqrt::apply(spread + eps);
    team.put(mean, middle);
    team.put(variance, spread);
    team.put(inverse, scale);
    if (kind == Weights::by_place) {
      team.map(
          y, [=](V v, V w, V b) { return (v - middle) * scale * w + b; }, x, team.places(weight),
          team.places(bias));
    } else if (kind == Weights::by_row) {
      const V w = widen(weight[team.index()]), b = widen(bias[team.index()]);
      team.map(y, [=](V v) { return (v - middle) * scale * w + b; }, x);
    } else {
      team.map(y, [=](V v) { return (v - middle) * scale; }, x);
    }
  }
};

template <class T>
struct StandardizeGradRow {
  T* dx;
  const T *dy, *x, *weight;
  const Compute<T>*mean, *inverse;
  Weights kind;
  Compute<T> length;

  template <class Team>
  __device__ void operator()(const Team& team) const {
    using V = Compute<T>;
    const V middle = mean[team.index()];
    const V scale = inverse[team.index()];
    const auto y = [=](V v) { return (v - middle) * scale; };
    if (kind == Weights::by_place) {
      const auto w = team.places(weight);
      const V of_h = team.template fold<reduce_sum>([](V g, V s) { return g * s; }, dy, w) / length;
      const V of_hy =
          team.template fold<reduce_sum>([=](V g, V v, V s) { return g * s * y(v); }, dy, x, w) /
          length;
      team.map(dx, [=](V g, V v, V s) { return (g * s - of_h - y(v) * of_hy) * scale; }, dy, x, w);
    } else {
      const V s = kind == Weights::by_row ? widen(weight[team.index()]) : V(1);
      const V of_h = team.template fold<reduce_sum>([=](V g) { return g * s; }, dy) / length;
      const V of_hy =
          team.template fold<reduce_sum>([=](V g, V v) { return g * s * y(v); }, dy, x) / length;
      team.map(dx, [=](V g, V v) { return (g * s - of_h - y(v) * of_hy) * scale; }, dy, x);
    }
  }
};

}  // namespace

void standardize(const Stream& stream, const Standardized& out, View x, View weight, View bias,
                 unsigned axes, double eps) {
  needle::visit_floating(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using V = Compute<T>;
    const needle::RowLayout rows = needle::make_rows(x, axes);
    for_all_rows<T>(stream, rows, aligned_rows(out.y, x, weight, bias),
                    StandardizeRow<T>{data<T>(out.y), data<V>(out.mean), data<V>(out.variance),
                                      data<V>(out.inverse), data<T>(x), data<T>(weight),
                                      data<T>(bias), kind_of(weight, rows, axes),
                                      static_cast<V>(eps), static_cast<V>(rows.length)});
  });
}

void standardize_grad(const Stream& stream, View dx, View dy, View x, View mean, View inverse,
                      View weight, unsigned axes) {
  needle::visit_floating(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using V = Compute<T>;
    const needle::RowLayout rows = needle::make_rows(x, axes);
    for_all_rows<T>(
        stream, rows, aligned_rows(dx, dy, x, weight),
        StandardizeGradRow<T>{data<T>(dx), data<T>(dy), data<T>(x), data<T>(weight), data<V>(mean),
                              data<V>(inverse), kind_of(weight, rows, axes),
                              static_cast<V>(rows.length)});
  });
}

}  // namespace NEEDLE_NS
