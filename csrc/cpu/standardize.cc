// Rows with mean 0 and variance 1, times weight plus bias, and the gradient: a row at a time while
// it is in cache. The gradient finds both sums that it needs in one pass, and these are what weight
// and bias of a row get; what those of a place get is summed across rows (standardize_places.h).
// x, y, dx compact and of one shape; one element for each row, or place, of the others. Source: the
// variance in two passes, Chan, Golub and LeVeque, "Algorithms for computing the sample variance"
// (1983).
#include "decls.h"
#include "rows.h"
#include "standardize_places.h"

namespace NEEDLE_NS {

using needle::Standardized;
using needle::StandardizedGrad;
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
  V mean[n], spread[1][n], inverse[n];
  V(&variance)[n] = spread[0];
  row.template fold<reduce_sum>(mean, nullptr, Itself{}, x);
  divide_by_length<T>(mean, row.length());
  row.template sums<1>(
      spread,
      [&](int, int k, V v) {
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

// y from x, and the statistics that it takes.
template <class T, int N>
struct Centred {
  vec<T> mean[N], inverse[N];
  template <class R>
  Centred(const R& row, const View& means, const View& inverses) {
    row.get(data<T>(means), mean);
    row.get(data<T>(inverses), inverse);
  }
  vec<T> operator()(int k, vec<T> v) const { return (v - mean[k]) * inverse[k]; }
};

// One weight for the row, or none.
template <class T, class R>
static void gradient_row(const StandardizedGrad& out, const View& means, const View& inverses,
                         const T* weight, const R& row, T* dx, const T* x, const T* dy) {
  using V = vec<T>;
  constexpr int n = R::kStats;
  const Centred<T, n> y(row, means, inverses);
  V scale[n], sum[2][n];
  row.template sums<2>(
      sum, [&](int m, int k, V v, V g) { return m == 0 ? g : g * y(k, v); }, x, dy);
  if (out.dweight.data != nullptr) {
    row.put(data<T>(out.dbias), sum[0]);
    row.put(data<T>(out.dweight), sum[1]);
  }
  for (V& s : scale) s = broadcast<V>(1);
  if (weight != nullptr) row.get(weight, scale);
  for (V(&s)[n] : sum) {
    for (int k = 0; k < n; ++k) s[k] = s[k] * scale[k];
    divide_by_length<T>(s, row.length());
  }
  row.map(
      dx,
      [&](int k, V v, V g) {
        return (g * scale[k] - sum[0][k] - y(k, v) * sum[1][k]) * y.inverse[k];
      },
      x, dy);
}

// A weight for each place.
template <class T, class R>
static void gradient_row_of_places(const View& means, const View& inverses, const R& row, T* dx,
                                   const T* x, const T* dy, const T* weights) {
  using V = vec<T>;
  constexpr int n = R::kStats;
  const Centred<T, n> y(row, means, inverses);
  V sum[2][n];
  row.template sums<2>(
      sum, [&](int m, int k, V v, V g, V w) { return m == 0 ? g * w : g * w * y(k, v); }, x, dy,
      weights);
  for (V(&s)[n] : sum) divide_by_length<T>(s, row.length());
  row.map(
      dx,
      [&](int k, V v, V g, V w) {
        return (g * w - sum[0][k] - y(k, v) * sum[1][k]) * y.inverse[k];
      },
      x, dy, weights);
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

void standardize_grad(const StandardizedGrad& out, View dy, View x, View mean, View inverse,
                      View weight, unsigned axes) {
  needle::visit_computed(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const needle::RowLayout rows = needle::make_rows(x, axes);
    const T *w = data<const T>(weight), *from = data<const T>(x), *g = data<const T>(dy);
    if (w != nullptr && !needle::one_for_each_row(weight, rows, axes)) {
      const auto body = [&](const auto& row, T* to, const auto*... in) {
        gradient_row_of_places<T>(mean, inverse, row, to, in...);
      };
      for_all_rows(rows, body, data<T>(out.dx), from, g, Places<T>{w});
      if (out.dweight.data != nullptr) {
        sum_places(AcrossRows<T>{g, from, data<const T>(mean), data<const T>(inverse), rows.count,
                                 rows.length, data<T>(out.dweight), data<T>(out.dbias)});
      }
      return;
    }
    const auto body = [&](const auto& row, T* to, const auto*... in) {
      gradient_row<T>(out, mean, inverse, w, row, to, in...);
    };
    for_all_rows(rows, body, data<T>(out.dx), from, g);
  });
}

}  // namespace NEEDLE_NS
