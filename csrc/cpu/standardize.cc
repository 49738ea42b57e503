// Rows with mean 0 and variance 1, times weight plus bias, and the gradient: a row at a time while
// it is in cache.
#include "decls.h"
#include "rows.h"

namespace NEEDLE_NS {

using needle::Standardized;
using needle::View;

template <class T>
static T* data(const View& v) {
  return static_cast<T*>(v.data);
}

// Of which 1 / n is not a number of T: the sums are divided.
template <class T, int N>
static void divide_by_length(vec<T> (&sum)[N], int64_t length) {
  for (vec<T>& s : sum) s = s / broadcast<vec<T>>(static_cast<T>(length));
}

// more: weight and bias by place
template <class T, class R, class... More>
static void standardize_row(const Standardized& out, double eps, const T* weight, const T* bias,
                            const R& row, T* y, const T* x, const More*... more) {
  using V = vec<T>;
  constexpr int n = R::kStats;
  V mean[n], variance[n], inverse[n];
  row.template fold<reduce_sum>(mean, nullptr, Itself{}, x);
  divide_by_length<T>(mean, row.length());
  row.template fold<reduce_sum>(
      variance, nullptr,
      [&](int k, V v) {
        const V centred = v - mean[k];
        return centred * centred;
      },
      x);
  divide_by_length<T>(variance, row.length());
  const V small = broadcast<V>(static_cast<T>(eps));
  for (int k = 0; k < n; ++k) inverse[k] = unary_rsqrt::apply(variance[k] + small);
  row.put(data<T>(out.mean), mean);
  row.put(data<T>(out.variance), variance);
  row.put(data<T>(out.inverse), inverse);
  if constexpr (sizeof...(More) > 0) {
    row.map(
        y, [&](int k, V v, V w, V b) { return (v - mean[k]) * inverse[k] * w + b; }, x, more...);
  } else if (weight != nullptr) {
    V w[n], b[n];
    row.get(weight, w);
    row.get(bias, b);
    row.map(y, [&](int k, V v) { return (v - mean[k]) * inverse[k] * w[k] + b[k]; }, x);
  } else {
    row.map(y, [&](int k, V v) { return (v - mean[k]) * inverse[k]; }, x);
  }
}

// h: (k, elements of dy and more...) -> the cotangent of the standardized x
template <class T, class R, class H, class... Given>
static void gradient_row(const View& means, const View& inverses, const H& h, const R& row, T* dx,
                         const T* x, const Given*... given) {
  using V = vec<T>;
  constexpr int n = R::kStats;
  V mean[n], inverse[n], of_h[n], of_hy[n];
  row.get(data<T>(means), mean);
  row.get(data<T>(inverses), inverse);
  const auto y = [&](int k, V v) { return (v - mean[k]) * inverse[k]; };
  row.template fold<reduce_sum>(of_h, nullptr, h, given...);
  divide_by_length<T>(of_h, row.length());
  row.template fold<reduce_sum>(
      of_hy, nullptr, [&](int k, V v, auto... g) { return h(k, g...) * y(k, v); }, x, given...);
  divide_by_length<T>(of_hy, row.length());
  row.map(
      dx,
      [&](int k, V v, auto... g) {
        return (h(k, g...) - of_h[k] - y(k, v) * of_hy[k]) * inverse[k];
      },
      x, given...);
}

void standardize(const Standardized& out, View x, View weight, View bias, unsigned axes,
                 double eps) {
  needle::visit_computed(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const needle::RowLayout rows = needle::make_rows(x, axes);
    const T *w = data<const T>(weight), *b = data<const T>(bias), *from = data<const T>(x);
    const auto body = [&](const auto& row, T* y, const auto*... in) {
      standardize_row<T>(out, eps, w, b, row, y, in...);
    };
    if (w != nullptr && !needle::one_for_each_row(weight, rows, axes)) {
      for_all_rows(rows, body, data<T>(out.y), from, Places<T>{w}, Places<T>{b});
    } else {
      for_all_rows(rows, body, data<T>(out.y), from);
    }
  });
}

void standardize_grad(View dx, View dy, View x, View mean, View inverse, View weight,
                      unsigned axes) {
  needle::visit_computed(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using V = vec<T>;
    const needle::RowLayout rows = needle::make_rows(x, axes);
    const T *w = data<const T>(weight), *from = data<const T>(x), *g = data<const T>(dy);
    if (w != nullptr && !needle::one_for_each_row(weight, rows, axes)) {
      const auto body = [&](const auto& row, T* to, const auto*... in) {
        gradient_row<T>(mean, inverse, [](int, V v, V s) { return v * s; }, row, to, in...);
      };
      return for_all_rows(rows, body, data<T>(dx), from, g, Places<T>{w});
    }
    const auto body = [&](const auto& row, T* to, const auto*... in) {
      V scale[std::remove_reference_t<decltype(row)>::kStats];
      for (V& s : scale) s = broadcast<V>(1);
      if (w != nullptr) row.get(w, scale);
      gradient_row<T>(mean, inverse, [&](int k, V v) { return v * scale[k]; }, row, to, in...);
    };
    for_all_rows(rows, body, data<T>(dx), from, g);
  });
}

}  // namespace NEEDLE_NS
