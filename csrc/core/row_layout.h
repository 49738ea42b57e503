// RowLayout: compact arrays of one shape, seen as rows: what lies along some of the axes at one
// index of the others. cpu and cuda walk rows by it.
#pragma once

#include "view.h"

namespace needle {

struct RowLayout {
  struct Axis {
    std::int64_t size, stride;
  };
  // Outermost first, merged where two are walked as one. Every row has an axis.
  Axis kept[kMaxDims + 1], reduced[kMaxDims + 1];
  int n_kept, n_reduced;
  std::int64_t count, length;  // rows, and elements of each
  // Rows that lie side by side, each element next to its neighbour's; 1 where a row's own elements
  // are neighbours.
  std::int64_t beside;
};

// One row of one element. A value, since a constructor would be a symbol that instruction sets
// share (see view.h).
static constexpr RowLayout kOneRow{{}, {}, 0, 0, 1, 1, 1};

// axes: a bit for each axis that rows lie along.
static inline RowLayout make_rows(const View& a, unsigned axes) {
  RowLayout rows = kOneRow;
  int last = -1;  // kind of the axis before: 1 reduced, 0 kept
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] == 1) continue;
    const int kind = static_cast<int>(axes >> d & 1u);
    RowLayout::Axis* of = kind != 0 ? rows.reduced : rows.kept;
    int& n = kind != 0 ? rows.n_reduced : rows.n_kept;
    (kind != 0 ? rows.length : rows.count) *= a.shape[d];
    if (kind == last) {
      of[n - 1] = {of[n - 1].size * a.shape[d], a.strides[d]};
    } else {
      of[n++] = {a.shape[d], a.strides[d]};
    }
    last = kind;
  }
  if (last == 0 && rows.n_reduced > 0) rows.beside = rows.kept[rows.n_kept - 1].size;
  if (rows.n_reduced == 0) rows.reduced[rows.n_reduced++] = {1, 1};
  return rows;
}

// Of an array with one element for each row, or one for each place in a row: which it is. Its axes
// are those of the rows' array, of size 1 where it has no more.
static inline bool one_for_each_row(const View& w, const RowLayout& rows, unsigned axes) {
  std::int64_t along = 1, across = 1;
  for (int d = 0; d < w.ndim; ++d) ((axes >> d & 1u) != 0 ? along : across) *= w.shape[d];
  return along == 1 && across == rows.count;
}

}  // namespace needle
