// Steps of optimizers and of LSTM cells: everything that an element takes part in, at once. All
// arrays are compact.
// Shapes: those of a parameter, or (N, 4 H) gates beside (N, H) states. Source: core/steps.h.
#include <type_traits>

#include "decls.h"
#include "loops.h"
#include "math.h"

// after the maths that it is written in
#include "../core/steps.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

constexpr int64_t kStepSegment = 4 * 1024;  // elements that are one unit of a thread's work

// Calls body(part, i, m) for the vectors of every part, m <= lanes<T> from element i on. Threads
// share the segments of all parts, so that many small ones are work enough for them.
template <class T, class Part, class Body>
static void for_vectors(const Part* parts, int64_t count, const Body& body) {
  const auto segments = [](int64_t n) { return (n + kStepSegment - 1) / kStepSegment; };
  int64_t tasks = 0, elements = 0;
  for (int64_t k = 0; k < count; ++k) {
    tasks += segments(needle::numel(parts[k].p));
    elements += needle::numel(parts[k].p);
  }
  parallel(tasks, elements, [&](int64_t begin, int64_t end) {
    for (int64_t k = 0; k < count && end > 0; ++k) {
      const Part& part = parts[k];
      const int64_t n = needle::numel(part.p), whole = segments(n);
      int64_t i = begin > 0 ? begin * kStepSegment : 0;
      const int64_t last = end < whole ? end * kStepSegment : n;
      for (; i + lanes<T> <= last; i += lanes<T>) {
        body(part, i, std::integral_constant<int, lanes<T>>{});
      }
      if (i < last) body(part, i, last - i);
      begin -= whole;
      end -= whole;
    }
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

void sgd_step(const needle::SgdPart* parts, int64_t count, const needle::SgdStep& step) {
  needle::visit_computed(parts[0].p.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_vectors<T>(parts, count, [&](const needle::SgdPart& part, int64_t i, auto m) {
      T* const u = data<T>(part.velocity);
      vec<T> moving = u == nullptr || step.first ? vec<T>{} : take(u + i, m);
      const vec<T> moved =
          m::sgd(step, take(data<T>(part.p) + i, m), take(data<T>(part.grad) + i, m), moving);
      if (u != nullptr) give(u + i, moving, m);
      give(data<T>(part.out) + i, moved, m);
    });
  });
}

void adam_step(const needle::AdamPart* parts, int64_t count, const needle::AdamStep& step) {
  needle::visit_computed(parts[0].p.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_vectors<T>(parts, count, [&](const needle::AdamPart& part, int64_t i, auto m) {
      T *const a = data<T>(part.first) + i, *const b = data<T>(part.second) + i;
      vec<T> of_grad = step.first ? vec<T>{} : take(a, m);
      vec<T> of_square = step.first ? vec<T>{} : take(b, m);
      const vec<T> moved = m::adam(step, take(data<T>(part.p) + i, m),
                                   take(data<T>(part.grad) + i, m), of_grad, of_square);
      give(a, of_grad, m);
      give(b, of_square, m);
      give(data<T>(part.out) + i, moved, m);
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
