// Matrix times vector, limited by how fast the matrix streams in: rows along k are dot products
// (two accumulators a row, four rows at a time), rows along j are added up eight at a time into a
// stretch of y that stays in L1. The order of an element's sum depends on depth and on the kind of
// strides only.
#include "gemm_vector.h"

#include "gemm_block.h"

namespace NEEDLE_NS {

constexpr int64_t kStretch = 1024;

// Rows j ... j + R - 1 along k: x contiguous in stretches of kStretch.
template <int R, class T>
static void dots(const VectorProduct<T>& p, int64_t j) {
  constexpr int64_t width = lanes<T>;
  vec<T> acc[R][2] = {};
  T buffer[kStretch];
  for (int64_t k0 = 0; k0 < p.depth; k0 += kStretch) {
    const int64_t depth = p.depth - k0 < kStretch ? p.depth - k0 : kStretch;
    const T* x = p.x + k0 * p.x_stride;
    if (p.x_stride != 1) {
      for (int64_t k = 0; k < depth; ++k) buffer[k] = x[k * p.x_stride];
      x = buffer;
    }
    const T* w = p.w + j * p.j_stride + k0;
    int64_t k = 0;
    for (; k + 2 * width <= depth; k += 2 * width) {
      const vec<T> x0 = load(x + k), x1 = load(x + k + width);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const T* row = w + r * p.j_stride + k;
        acc[r][0] = fma(load(row), x0, acc[r][0]);
        acc[r][1] = fma(load(row + width), x1, acc[r][1]);
      }
    }
    for (; k < depth; k += width) {
      const int64_t left = depth - k < width ? depth - k : width;
      const vec<T> x0 = load_partial(x + k, left);
      for (int r = 0; r < R; ++r)
        acc[r][0] = fma(load_partial(w + r * p.j_stride + k, left), x0, acc[r][0]);
    }
  }
  for (int r = 0; r < R; ++r) {
    const vec<T> sum = acc[r][0] + acc[r][1];
    T total = sum[0];
    for (int i = 1; i < width; ++i) total += sum[i];
    p.y[(j + r) * p.y_stride] = total;
  }
}

// sum[0, count) = or += x[k] * w[k][0, count) for R rows k; the first row of all starts the sum.
template <int R, class T>
static void add_rows(const VectorProduct<T>& p, int64_t j0, int64_t k0, int64_t count, T* sum) {
  constexpr int64_t width = lanes<T>;
  const T* w = p.w + k0 * p.k_stride + j0;
  vec<T> x[R];
  for (int r = 0; r < R; ++r) x[r] = broadcast<vec<T>>(p.x[(k0 + r) * p.x_stride]);
  for (int64_t j = 0; j < count; j += width) {
    const int64_t left = count - j < width ? count - j : width;
    vec<T> acc = k0 == 0 ? vec<T>{} : load(sum + j);
    if (left == width) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc = fma(x[r], load(w + r * p.k_stride + j), acc);
    } else {
      for (int r = 0; r < R; ++r) acc = fma(x[r], load_partial(w + r * p.k_stride + j, left), acc);
    }
    store(sum + j, acc);
  }
}

template <class T>
static void sum_rows(const VectorProduct<T>& p) {
  alignas(64) T sum[kStretch];
  for (int64_t j0 = 0; j0 < p.count; j0 += kStretch) {
    const int64_t count = p.count - j0 < kStretch ? p.count - j0 : kStretch;
    int64_t k = 0;
    for (; k + 8 <= p.depth; k += 8) add_rows<8>(p, j0, k, count, sum);
    for (; k < p.depth; ++k) add_rows<1>(p, j0, k, count, sum);
    for (int64_t j = 0; j < count; ++j) p.y[(j0 + j) * p.y_stride] = sum[j];
  }
}

template <class T>
static void multiply_vector_any(const VectorProduct<T>& p) {
  if (p.k_stride == 1) {
    int64_t j = 0;
    for (; j + 4 <= p.count; j += 4) dots<4>(p, j);
    for (; j < p.count; ++j) dots<1>(p, j);
  } else if (p.j_stride == 1) {
    sum_rows(p);
  } else {
    for (int64_t j = 0; j < p.count; ++j) {
      const T* row = p.w + j * p.j_stride;
      T total = 0;
      for (int64_t k = 0; k < p.depth; ++k)
        total = fma(p.x[k * p.x_stride], row[k * p.k_stride], total);
      p.y[j * p.y_stride] = total;
    }
  }
}

void multiply_vector(const VectorProduct<float>& product) noexcept { multiply_vector_any(product); }
void multiply_vector(const VectorProduct<double>& product) noexcept {
  multiply_vector_any(product);
}

}  // namespace NEEDLE_NS
