// What runs along one axis in order: scatter_add, cumsum, argmax and argmin. A lane is what lies
// along the axis at one index of the others. Lanes are independent and dealt to threads; neighbours
// are walked side by side, each in its own order.
#include "decls.h"
#include "loops.h"
#include "simd.h"

namespace NEEDLE_NS {

using needle::View;
using std::int64_t;

constexpr int64_t kLanes = 64;    // walked together where they are neighbours in memory
constexpr int64_t kFewLanes = 4;  // elsewhere: enough to hide latency, few enough cache lines

// The first element of every lane.
static View lane_starts(View v, int axis) {
  --v.ndim;
  for (int d = axis; d < v.ndim; ++d) {
    v.shape[d] = v.shape[d + 1];
    v.strides[d] = v.strides[d + 1];
  }
  return v;
}

// Calls body(pointers, n) for every n <= kLanes neighbouring lanes, which start at pointers[k] and,
// in collapsed views[k], an inner stride apart.
template <int N, class Body>
static void for_lanes(const View (&views)[N], int64_t length, int64_t stride, const Body& body) {
  const int64_t apart = inner_stride(views[1]);
  const bool neighbours = (apart < 0 ? -apart : apart) <= (stride < 0 ? -stride : stride);
  for_rows(views, body, length, neighbours ? kLanes : kFewLanes);
}

template <class T>
static void scatter_lanes(const View& dst, const View& a, const View& index, int axis) {
  const int64_t length = a.shape[axis], to_axis = dst.strides[axis], from_axis = a.strides[axis],
                index_axis = index.strides[axis];
  View views[3] = {lane_starts(dst, axis), lane_starts(a, axis), lane_starts(index, axis)};
  collapse_rows(views);
  const int64_t to_step = inner_stride(views[0]), from_step = inner_stride(views[1]),
                index_step = inner_stride(views[2]);
  for_lanes(views, length, from_axis, [&](char* const(&p)[3], int64_t n) {
    T* to = reinterpret_cast<T*>(p[0]);
    const T* from = reinterpret_cast<const T*>(p[1]);
    const int64_t* place = reinterpret_cast<const int64_t*>(p[2]);
    for (int64_t i = 0; i < length; ++i, from += from_axis, place += index_axis) {
      if (index_step == 0) {  // all lanes to one place
        T* row = to + *place * to_axis;
        for (int64_t j = 0; j < n; ++j) row[j * to_step] += from[j * from_step];
      } else {
        for (int64_t j = 0; j < n; ++j) {
          to[place[j * index_step] * to_axis + j * to_step] += from[j * from_step];
        }
      }
    }
  });
}

void scatter_add(View dst, View a, View index, int axis) {
  needle::visit_computed(dst.dtype,
                         [&](auto zero) { scatter_lanes<decltype(zero)>(dst, a, index, axis); });
}

// Lanes far apart in memory, side by side in registers: one waits for its last sum while others
// add.
template <class T>
static void cumsum_few(T* to, const T* from, int64_t length, int64_t to_axis, int64_t to_step,
                       int64_t from_axis, int64_t from_step) {
  T a = from[0], b = from[from_step], c = from[2 * from_step], d = from[3 * from_step];
  for (int64_t i = 0;; to += to_axis) {
    to[0] = a;
    to[to_step] = b;
    to[2 * to_step] = c;
    to[3 * to_step] = d;
    if (++i == length) return;
    from += from_axis;
    a += from[0];
    b += from[from_step];
    c += from[2 * from_step];
    d += from[3 * from_step];
  }
}

template <class T>
static void cumsum_lanes(const View& dst, const View& a, int axis, bool reversed) {
  const int64_t length = a.shape[axis], sign = reversed ? -1 : 1, first = reversed ? length - 1 : 0;
  const int64_t to_axis = dst.strides[axis], from_axis = a.strides[axis];
  View views[2] = {lane_starts(dst, axis), lane_starts(a, axis)};
  collapse_rows(views);
  const int64_t to_step = inner_stride(views[0]), from_step = inner_stride(views[1]);
  for_lanes(views, length, from_axis, [&](char* const(&p)[2], int64_t n) {
    T* to = reinterpret_cast<T*>(p[0]) + first * to_axis;
    const T* from = reinterpret_cast<const T*>(p[1]) + first * from_axis;
    if (n == kFewLanes) {
      return cumsum_few(to, from, length, sign * to_axis, to_step, sign * from_axis, from_step);
    }
    T sum[kLanes];
    for (int64_t j = 0; j < n; ++j) to[j * to_step] = sum[j] = from[j * from_step];
    for (int64_t i = 1; i < length; ++i) {
      to += sign * to_axis;
      from += sign * from_axis;
      for (int64_t j = 0; j < n; ++j) to[j * to_step] = sum[j] += from[j * from_step];
    }
  });
}

void cumsum(View dst, View a, int axis, bool reversed) {
  needle::visit_computed(dst.dtype,
                         [&](auto zero) { cumsum_lanes<decltype(zero)>(dst, a, axis, reversed); });
}

// The largest or smallest of n neighbours, or NaN where there is one.
template <class T, bool Largest>
static T extreme(const T* a, int64_t n) {
  using V = vec<T>;
  constexpr int64_t width = lanes<T>;
  T best = a[0];
  int64_t i = 0;
  if (n >= 4 * width) {
    V top[4];
    ivec<T> nan{};
    for (int k = 0; k < 4; ++k) top[k] = load(a + k * width);
    for (; i + 4 * width <= n; i += 4 * width) {
      for (int k = 0; k < 4; ++k) {
        const V x = load(a + i + k * width);
        nan = nan | (x != x);
        top[k] = (Largest ? x > top[k] : x < top[k]) ? x : top[k];
      }
    }
    T found[4 * width];
    for (int k = 0; k < 4; ++k) store(found + k * width, top[k]);
    for (int64_t k = 0; k < 4 * width; ++k)
      best = (Largest ? found[k] > best : found[k] < best) ? found[k] : best;
    for (int64_t k = 0; k < width; ++k) {
      if (nan[k] != 0) return static_cast<T>(__builtin_nan(""));
    }
  }
  for (; i < n; ++i) {
    if (a[i] != a[i]) return a[i];
    best = (Largest ? a[i] > best : a[i] < best) ? a[i] : best;
  }
  return best;
}

// Where the first of n neighbours is that equals x, or is NaN where x is; one of them does.
template <class T>
static int64_t find(const T* a, int64_t n, T x) {
  constexpr int64_t width = lanes<T>;
  const auto is = [&](auto v, auto wanted) {
    return (v == wanted) | ((v != v) & (wanted != wanted));
  };
  int64_t i = 0;
  for (const vec<T> wanted = x - vec<T>{}; i + width <= n; i += width) {
    const ivec<T> found = is(load(a + i), wanted);
    i64v words;
    std::memcpy(&words, &found, sizeof words);
    if (any(words | (words << 32))) break;  // by their highest bits
  }
  while (!is(a[i], x)) ++i;
  return i;
}

// Of a lane of neighbours, in blocks that stay in the cache between the search for the largest
// element and the one for its place.
template <class T, bool Largest>
static int64_t arg_neighbours(const T* a, int64_t length) {
  constexpr int64_t block = 2048;
  T best{};
  int64_t place = 0;
  for (int64_t first = 0; first < length; first += block) {
    const int64_t n = length - first < block ? length - first : block;
    const T top = extreme<T, Largest>(a + first, n);
    if (first > 0 && !(Largest ? top > best : top < best) && top == top) continue;
    best = top;
    place = first + find(a + first, n, top);
    if (top != top) break;  // the first NaN
  }
  return place;
}

template <class T, bool Largest>
static void arg_lanes(const View& dst, const View& a, int axis) {
  const int64_t length = a.shape[axis], from_axis = a.strides[axis];
  View views[2] = {lane_starts(dst, axis), lane_starts(a, axis)};
  collapse_rows(views);
  const int64_t to_step = inner_stride(views[0]), from_step = inner_stride(views[1]);
  for_lanes(views, length, from_axis, [&](char* const(&p)[2], int64_t n) {
    int64_t* to = reinterpret_cast<int64_t*>(p[0]);
    const T* from = reinterpret_cast<const T*>(p[1]);
    if (from_axis == 1 && n <= kFewLanes) {
      for (int64_t j = 0; j < n; ++j) {
        to[j * to_step] = arg_neighbours<T, Largest>(from + j * from_step, length);
      }
      return;
    }
    T best[kLanes];
    int64_t place[kLanes] = {};
    for (int64_t j = 0; j < n; ++j) best[j] = from[j * from_step];
    for (int64_t i = 1; i < length; ++i) {
      from += from_axis;
      for (int64_t j = 0; j < n; ++j) {
        const T x = from[j * from_step];
        const bool nan = (x != x) & (best[j] == best[j]);
        const bool better = (Largest ? x > best[j] : x < best[j]) | nan;
        best[j] = better ? x : best[j];
        place[j] = better ? i : place[j];
      }
    }
    for (int64_t j = 0; j < n; ++j) to[j * to_step] = place[j];
  });
}

void arg_reduce(needle::ArgOp op, View dst, View a, int axis) {
  needle::visit_computed(a.dtype, [&](auto zero) {
    using T = decltype(zero);
    op == needle::ArgOp::argmax ? arg_lanes<T, true>(dst, a, axis)
                                : arg_lanes<T, false>(dst, a, axis);
  });
}

}  // namespace NEEDLE_NS
