// How strided matrices and batches of them become what a library for matrix products takes: rows
// `ld` apart, one stride from product to product.
#pragma once

#include <cstddef>
#include <optional>

#include "../../core/view.h"

namespace NEEDLE_NS::libraries {

constexpr std::int64_t kMostSize = (std::int64_t{1} << 31) - 1;
constexpr std::int64_t kMostBatch = 65535;

struct Matrix {
  const std::byte* data;
  std::int64_t rows, columns, row_stride, column_stride;
};

inline Matrix matrix(const needle::View& v) {
  const int row = v.ndim - 2, column = v.ndim - 1;
  return {static_cast<const std::byte*>(v.data), v.shape[row], v.shape[column], v.strides[row],
          v.strides[column]};
}

inline Matrix flipped(const Matrix& m) {
  return {m.data, m.columns, m.rows, m.column_stride, m.row_stride};
}

// How a matrix lies, if the library can take it: rows `ld` apart, or columns (transposed).
struct Lie {
  bool transposed;
  std::int64_t ld;
};

inline std::optional<std::int64_t> row_distance(const Matrix& m) {
  if (m.column_stride != 1 && m.columns != 1) return std::nullopt;
  const std::int64_t ld = m.rows == 1 ? m.columns : m.row_stride;
  if (ld < m.columns || ld > kMostSize) return std::nullopt;
  return ld;
}

inline std::optional<Lie> lie(const Matrix& m) {
  if (const auto ld = row_distance(m)) return Lie{false, *ld};
  if (const auto ld = row_distance(flipped(m))) return Lie{true, *ld};
  return std::nullopt;
}

// A batch whose matrices share b is one taller product, where the rows of a and dst follow.
inline void join_rows(Matrix& dst, Matrix& a, needle::View* batch) {
  const int last = batch[0].ndim - 1;
  if (last < 0 || batch[2].strides[last] != 0) return;
  Matrix* matrices[] = {&dst, &a};
  for (int i = 0; i < 2; ++i) {
    const bool follows = matrices[i]->rows == 1 ||
                         batch[i].strides[last] == matrices[i]->rows * matrices[i]->row_stride;
    if (!follows) return;
  }
  for (int i = 0; i < 2; ++i) {
    if (matrices[i]->rows == 1) matrices[i]->row_stride = batch[i].strides[last];
    matrices[i]->rows *= batch[i].shape[last];
  }
  for (int i = 0; i < 3; ++i) --batch[i].ndim;
}

// The axis of the batch that one call walks: the longest that has a stride, or -1.
inline int batch_axis(const needle::View* batch) {
  int best = -1;
  for (int d = 0; d < batch[0].ndim; ++d) {
    const bool walkable = batch[0].shape[d] <= kMostBatch && batch[0].strides[d] > 0 &&
                          batch[1].strides[d] >= 0 && batch[2].strides[d] >= 0;
    if (walkable && (best < 0 || batch[0].shape[d] > batch[0].shape[best])) best = d;
  }
  return best;
}

}  // namespace NEEDLE_NS::libraries
