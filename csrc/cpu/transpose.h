// Transposing copies: dst[i * di + j] = src[i + j * sj] for a plane (i, j) in which each side is
// contiguous along one dimension, and for every index of the remaining dimensions.
//
// The plane is cut into bands of kBand rows of dst; along a band, squares of lanes x lanes elements
// are transposed in registers: log2(lanes) rounds in which row r and row r + lanes / 2 are
// interleaved.
#pragma once

#include "loops.h"
#include "simd.h"

namespace NEEDLE_NS {

template <class T>
constexpr bool has_vectors = false;
template <>
constexpr bool has_vectors<float> = true;
template <>
constexpr bool has_vectors<double> = true;

// Enough for whole cache lines of src, few enough for their pages and those of dst to stay at hand.
constexpr std::int64_t kBand = 64;

template <class T>
NEEDLE_INLINE void transpose_square(T* dst, std::int64_t di, const T* src, std::int64_t sj) {
  constexpr int n = lanes<T>;
  vec<T> rows[n], mixed[n];
  for (int j = 0; j < n; ++j) rows[j] = load(src + j * sj);
  for (int round = 1; round < n; round *= 2) {
    for (int r = 0; r < n / 2; ++r) {
      mixed[2 * r] = interleave_low(rows[r], rows[r + n / 2]);
      mixed[2 * r + 1] = interleave_high(rows[r], rows[r + n / 2]);
    }
    for (int r = 0; r < n; ++r) rows[r] = mixed[r];
  }
  for (int i = 0; i < n; ++i) store(dst + i * di, rows[i]);
}

// rows x columns of dst.
template <class T>
static void transpose_band(T* dst, std::int64_t di, const T* src, std::int64_t sj,
                           std::int64_t rows, std::int64_t columns) {
  std::int64_t whole_rows = 0, whole_columns = 0;
  if constexpr (has_vectors<T>) {
    constexpr std::int64_t n = lanes<T>;
    whole_rows = rows - rows % n;
    whole_columns = columns - columns % n;
    for (std::int64_t j = 0; j < whole_columns; j += n) {
      for (std::int64_t i = 0; i < whole_rows; i += n) {
        transpose_square(dst + i * di + j, di, src + i + j * sj, sj);
      }
    }
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    const std::int64_t first = j < whole_columns ? whole_rows : 0;
    for (std::int64_t i = first; i < rows; ++i) dst[i * di + j] = src[i + j * sj];
  }
}

// Copies collapsed views where they are such planes; false where they are not.
template <class T>
static bool transpose(const needle::View (&views)[2]) {
  const needle::View &dst = views[0], &src = views[1];
  const int j = dst.ndim - 1;
  int i = 0;
  while (i < j && src.strides[i] != 1) ++i;
  if (i == j || dst.strides[j] != 1 || src.strides[j] == 0) return false;
  const std::int64_t rows = dst.shape[i], columns = dst.shape[j],
                     bands = (rows + kBand - 1) / kBand;
  if (rows < 4 || columns < 4) return false;
  const std::int64_t total = needle::numel(dst), tasks = total / (rows * columns) * bands;
  parallel(tasks, total, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task % bands * kBand;
      T* to = static_cast<T*>(dst.data) + first * dst.strides[i];
      const T* from = static_cast<const T*>(src.data) + first;
      std::int64_t plane = task / bands;
      for (int d = j - 1; d >= 0; --d) {
        if (d == i) continue;
        to += plane % dst.shape[d] * dst.strides[d];
        from += plane % dst.shape[d] * src.strides[d];
        plane /= dst.shape[d];
      }
      transpose_band(to, dst.strides[i], from, src.strides[j],
                     rows - first < kBand ? rows - first : kBand, columns);
    }
  });
  return true;
}

}  // namespace NEEDLE_NS
