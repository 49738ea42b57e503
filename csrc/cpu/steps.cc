// Steps of optimizers and of LSTM cells: everything that an element takes part in, at once. All
// arrays are compact.
#include <type_traits>

#include "decls.h"
#include "loops.h"
#include "math.h"

// after the maths that it is written in
#include "../core/steps.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

// Calls body(i, m) for the vectors of n elements, m <= lanes<T> from element i on, on threads.
template <class T, class Body>
static void for_vectors(int64_t n, const Body& body) {
  parallel((n + kSegment - 1) / kSegment, n, [&](int64_t begin, int64_t end) {
    const int64_t last = end * kSegment < n ? end * kSegment : n;
    int64_t i = begin * kSegment;
    for (; i + lanes<T> <= last; i += lanes<T>) body(i, std::integral_constant<int, lanes<T>>{});
    if (i < last) body(i, last - i);
  });
}

template <class T>
NEEDLE_INLINE vec<T> take(const T* p, std::integral_constant<int, lanes<T>>) {
  return load(p);
}
template <class T>
NEEDLE_INLINE vec<T> take(const T* p, int64_t m) {
  return load_partial(p, m);
}
template <class T>
NEEDLE_INLINE void give(T* p, vec<T> v, std::integral_constant<int, lanes<T>>) {
  store(p, v);
}
template <class T>
NEEDLE_INLINE void give(T* p, vec<T> v, int64_t m) {
  store_partial(p, v, m);
}

template <class T>
static T* data(const View& v) {
  return static_cast<T*>(v.data);
}

void sgd_step(View out, View velocity, View p, View grad, const needle::SgdStep& step) {
  needle::visit_computed(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    T *to = data<T>(out), *u = data<T>(velocity);
    const T *from = data<T>(p), *g = data<T>(grad);
    for_vectors<T>(needle::numel(out), [&](int64_t i, auto m) {
      vec<T> moving = u == nullptr || step.first ? vec<T>{} : take(u + i, m);
      const vec<T> moved = m::sgd(step, take(from + i, m), take(g + i, m), moving);
      if (u != nullptr) give(u + i, moving, m);
      give(to + i, moved, m);
    });
  });
}

void adam_step(View out, View first, View second, View p, View grad, const needle::AdamStep& step) {
  needle::visit_computed(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    T *to = data<T>(out), *a = data<T>(first), *b = data<T>(second);
    const T *from = data<T>(p), *g = data<T>(grad);
    for_vectors<T>(needle::numel(out), [&](int64_t i, auto m) {
      vec<T> of_grad = step.first ? vec<T>{} : take(a + i, m);
      vec<T> of_square = step.first ? vec<T>{} : take(b + i, m);
      const vec<T> moved = m::adam(step, take(from + i, m), take(g + i, m), of_grad, of_square);
      give(a + i, of_grad, m);
      give(b + i, of_square, m);
      give(to + i, moved, m);
    });
  });
}

// Calls body(row of 4 n gates, row of n units, m) for the vectors of every row, on threads.
template <class T, class Body>
static void for_units(const View& units, const Body& body) {
  const int64_t n = units.shape[1], rows = units.shape[0];
  parallel(rows, rows * n * 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      int64_t i = 0;
      for (; i + lanes<T> <= n; i += lanes<T>) {
        body(r * 4 * n + i, r * n + i, std::integral_constant<int, lanes<T>>{});
      }
      if (i < n) body(r * 4 * n + i, r * n + i, n - i);
    }
  });
}

void lstm_cell(View h, View next, View gates, View c) {
  needle::visit_computed(h.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = h.shape[1];
    for_units<T>(h, [&](int64_t gate, int64_t unit, auto m) {
      const T* g = data<T>(gates) + gate;
      const auto made = m::lstm(take(g, m), take(g + n, m), take(g + 2 * n, m), take(g + 3 * n, m),
                                take(data<T>(c) + unit, m));
      give(data<T>(h) + unit, made.h, m);
      give(data<T>(next) + unit, made.c, m);
    });
  });
}

void lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) {
  needle::visit_computed(dc.dtype, [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = dc.shape[1];
    for_units<T>(dc, [&](int64_t gate, int64_t unit, auto m) {
      const T* g = data<T>(gates) + gate;
      T* dg = data<T>(dgates) + gate;
      const auto made = m::lstm_grad(take(g, m), take(g + n, m), take(g + 2 * n, m),
                                     take(g + 3 * n, m), take(data<T>(c) + unit, m),
                                     take(data<T>(dh) + unit, m), take(data<T>(dnext) + unit, m));
      give(dg, made.i, m);
      give(dg + n, made.f, m);
      give(dg + 2 * n, made.g, m);
      give(dg + 3 * n, made.o, m);
      give(data<T>(dc) + unit, made.c, m);
    });
  });
}

}  // namespace NEEDLE_NS
