// Every row of compact arrays, as a Row (row.h): along memory, side by side, or short and
// transposed to lie side by side.
#pragma once

#include <utility>

#include "row.h"
#include "transpose.h"

namespace NEEDLE_NS {

// An array with one element for each place in a row.
template <class T>
struct Places {
  const T* p;
};

// Where a kernel finds what belongs to the element at `at` of a row that begins at `begin`: at +
// this.
template <class T>
static const T* seen_from(int64_t, const T* p) {
  return p;
}
template <class T>
static const T* seen_from(int64_t begin, Places<T> of) {
  return of.p - begin;
}

// m rows of n elements from row `first` on, transposed.
template <class T>
static void turn(T* to, int64_t first, int64_t n, int64_t m, const T* p) {
  transpose_band(to, lanes<T>, p + first * n, n, n, m);
}
template <class T>
static void turn(T* to, int64_t, int64_t n, int64_t m, Places<T> of) {
  transpose_band(to, lanes<T>, of.p, 0, n, m);
}

// Short rows that follow each other, a vector of them at a time: transposed, they are rows side by
// side.
template <class T, class Body, std::size_t... I, class... In>
static void for_short_rows(const needle::RowLayout& rows, const Body& body,
                           std::index_sequence<I...>, T* out, In... in) {
  constexpr int64_t group = lanes<T>;
  const int64_t n = rows.length;
  needle::RowLayout turned = needle::kOneRow;
  turned.reduced[turned.n_reduced++] = {n, group};
  turned.length = n;
  parallel((rows.count + group - 1) / group, rows.count * n * 4, [&](int64_t begin, int64_t end) {
    alignas(kVectorBytes) T buffers[sizeof...(In) + 1][kShortRow * group];
    for (int64_t first = begin * group; first < end * group && first < rows.count; first += group) {
      const int64_t m = rows.count - first < group ? rows.count - first : group;
      (turn(buffers[I], first, n, m, in), ...);
      T* result = buffers[sizeof...(In)];
      body(Row<T, 1, false>(turned, first, 0, m, 1), result, buffers[I]...);
      if (out != nullptr) transpose_band(out + first * n, n, result, group, m, n);
    }
  });
}

// Calls body(row, out, in...) so that the calls cover all rows of `in` and `out`, which may be
// null; body takes the elements from what it is given.
template <class T, class Body, class... In>
static void for_all_rows(const needle::RowLayout& rows, const Body& body, T* out, In... in) {
  constexpr int64_t wide = 4 * lanes<T>;
  const bool along = rows.beside == 1;
  if (along && rows.n_reduced == 1 && rows.length <= kShortRow) {
    return for_short_rows(rows, body, std::index_sequence_for<In...>{}, out, in...);
  }
  const int64_t tiles = (rows.beside + wide - 1) / wide;
  const int64_t tasks = rows.count / rows.beside * tiles,
                run = rows.reduced[rows.n_reduced - 1].size;
  int64_t parts = rows.length * (along ? 1 : rows.beside < wide ? rows.beside : wide) / kRowPart;
  parts = parts < kMaxRowParts ? parts : kMaxRowParts;
  parts = parts < run ? parts : run;
  if (tasks >= kFewRowTasks || parts < 1) parts = 1;
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % tiles * wide;
      int64_t index = task / tiles, at = first;
      for (int d = rows.n_kept - (along ? 1 : 2); d >= 0; --d) {
        at += index % rows.kept[d].size * rows.kept[d].stride;
        index /= rows.kept[d].size;
      }
      index = task / tiles * rows.beside + first;
      if (along) {
        body(Row<T, 1, true>(rows, index, at, 1, parts), out, seen_from(at, in)...);
      } else if (rows.beside - first >= wide) {
        body(Row<T, 4, false>(rows, index, at, wide, parts), out, seen_from(at, in)...);
      } else {
        for (int64_t left = rows.beside - first; left > 0; left -= lanes<T>) {
          const int64_t columns = left < lanes<T> ? left : lanes<T>;
          body(Row<T, 1, false>(rows, index, at, columns, parts), out, seen_from(at, in)...);
          index += lanes<T>;
          at += lanes<T>;
        }
      }
    }
  };
  if (parts > 1) return range(0, tasks);
  parallel(tasks, rows.count * rows.length * 4, range);
}

}  // namespace NEEDLE_NS
