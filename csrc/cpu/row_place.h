// Where a row lies (row.h): its stretches in memory, the parts that threads share, and its place in
// arrays with one element for each row.
//
//   - along (Along): a row's elements are neighbours, `columns` is 1
//   - beside: `columns` rows side by side, (N - 1) * lanes < columns <= N * lanes
#pragma once

#include "row_walk.h"

namespace NEEDLE_NS {

constexpr int64_t kShortRow = 128;  // elements that are transposed
constexpr int64_t kMaxRowParts = 32, kRowPart = 16 * 1024, kFewRowTasks = 8;

template <class T, int N, bool Along>
class RowPlace {
 public:
  using V = vec<T>;
  static constexpr int kStats = N;

  // The row of this index or the first of several; it begins at `at`.
  RowPlace(const needle::RowLayout& rows, int64_t index, int64_t at, int64_t columns, int64_t parts)
      : rows_(rows), index_(index), at_(at), columns_(columns), parts_(parts) {}

  int64_t length() const { return rows_.length; }

  // A statistic from and to an array of one element for each row.
  void get(const T* of_rows, V (&stat)[N]) const {
    for (int k = 0; k < N; ++k) {
      stat[k] = Along ? broadcast<V>(of_rows[index_])
                      : load_partial(of_rows + index_ + k * lanes<T>, lanes_of(k));
    }
  }
  void put(T* of_rows, const V (&stat)[N]) const {
    for (int k = 0; k < N; ++k) {
      store_partial(of_rows + index_ + k * lanes<T>, stat[k], Along ? 1 : lanes_of(k));
    }
  }

 protected:
  const needle::RowLayout::Axis& run() const { return rows_.reduced[rows_.n_reduced - 1]; }
  int64_t first_of(int64_t part) const { return run().size * part / parts_; }
  int64_t lanes_of(int k) const { return k < N - 1 ? lanes<T> : columns_ - (N - 1) * lanes<T>; }

  // Calls body(from, n) for stretches of the row: n elements (rows of columns) from there on.
  template <class Body>
  void stretches(int64_t begin, int64_t end, int64_t most, const Body& body) const {
    for_offsets(rows_.reduced, rows_.n_reduced - 1, [&](int64_t offset) {
      for (int64_t i = begin; i < end; i += most) {
        body(at_ + offset + i * run().stride, end - i < most ? end - i : most);
      }
    });
  }

  const needle::RowLayout& rows_;
  int64_t index_, at_, columns_, parts_;
};

}  // namespace NEEDLE_NS
