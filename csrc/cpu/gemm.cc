// matmul: C (..., M, N) = A (..., M, K) B (..., K, N), any strides. C is cut into tiles, each of
// which runs the loops of gemm_block.h:
//
//   for kBlockColumns columns of C        B block: kDepth x kBlockColumns, packed, in L2
//     for kDepth of K
//       for kTileRows rows of C           A panel: kTileRows x kDepth, in place or packed, in L1
//
// Source: Goto and van de Geijn (2008), with the panel of A innermost instead of a block of it.
#include "decls.h"
#include "gemm_block.h"
#include "gemm_parallel.h"
#include "gemm_vector.h"

namespace NEEDLE_NS {

template <class T>
struct Matrix {
  T* data;
  int64_t row, column;  // strides
};

template <class T>
static Matrix<T> transposed(const Matrix<T>& m) {
  return {m.data, m.column, m.row};
}

// One (batched) product after the axes have been sorted out.
template <class T>
struct Problem {
  Matrix<T> c;
  Matrix<const T> a, b;
  int64_t rows, columns, depth;
  int batch_dims;
  int64_t batch[needle::kMaxDims];
  int64_t c_batch[needle::kMaxDims], a_batch[needle::kMaxDims], b_batch[needle::kMaxDims];
};

// A leading axis along which B does not move is more rows of C, if A and C walk on evenly: one
// large product instead of many.
template <class T>
static Problem<T> problem_of(const needle::View& c, const needle::View& a, const needle::View& b) {
  const int m = c.ndim - 2, n = c.ndim - 1;
  Problem<T> p = {};
  p.c = {static_cast<T*>(c.data), c.strides[m], c.strides[n]};
  p.a = {static_cast<const T*>(a.data), a.strides[m], a.strides[n]};
  p.b = {static_cast<const T*>(b.data), b.strides[m], b.strides[n]};
  p.rows = c.shape[m];
  p.columns = c.shape[n];
  p.depth = a.shape[n];
  for (int d = m - 1; d >= 0; --d) {
    if (c.shape[d] == 1) continue;
    const bool even =
        p.rows == 1 || (a.strides[d] == p.rows * p.a.row && c.strides[d] == p.rows * p.c.row);
    if (b.strides[d] == 0 && even) {
      if (p.rows == 1) {
        p.a.row = a.strides[d];
        p.c.row = c.strides[d];
      }
      p.rows *= c.shape[d];
      continue;
    }
    p.batch[p.batch_dims] = c.shape[d];
    p.c_batch[p.batch_dims] = c.strides[d];
    p.a_batch[p.batch_dims] = a.strides[d];
    p.b_batch[p.batch_dims] = b.strides[d];
    ++p.batch_dims;
  }
  // Rows of C that are neighbours: compute C^T = B^T A^T.
  if (p.c.row == 1 && p.c.column != 1 && p.columns != 1) {
    const Matrix<const T> a_before = p.a;
    p.c = transposed(p.c);
    p.a = transposed(p.b);
    p.b = transposed(a_before);
    const int64_t rows = p.rows;
    p.rows = p.columns;
    p.columns = rows;
    for (int d = 0; d < p.batch_dims; ++d) {
      const int64_t stride = p.a_batch[d];
      p.a_batch[d] = p.b_batch[d];
      p.b_batch[d] = stride;
    }
  }
  return p;
}

// The rows of a block of C below one B block that lies ready in `product`: k is the block's first
// of `depth`.
template <class T>
static void multiply_rows(Product<T>& product, const Matrix<T>& c, const Matrix<const T>& a,
                          int64_t rows, int64_t k, int64_t depth, T* left) {
  const Segment whole{0, 0, depth};
  Segment packed;
  // Packing a panel of A costs about as much as two panels of B give it to do.
  const bool worth = product.columns > 2 * kTileColumns<T>;
  const bool in_place =
      (a.column == 1 && !(worth && rows_collide(a.row * static_cast<int64_t>(sizeof(T))))) ||
      (a.row == 1 && !worth);
  const int64_t panels = (rows + kTileRows - 1) / kTileRows;
  for (int64_t i = 0; i < panels; ++i) {
    const int64_t from = cut_at(rows, 1, panels, i);
    product.rows = static_cast<int>(cut_at(rows, 1, panels, i + 1) - from);
    for (int r = 0; r < product.rows; ++r) {
      product.a[r] = a.data + (from + r) * a.row + k * a.column;
      product.c[r] = c.data + (from + r) * c.row;
    }
    product.a_step = a.column;
    product.segments = &whole;
    product.segment_count = 1;
    if (!in_place) pack_left(product, a.column, left, &packed);
    multiply(product);
  }
}

// One tile of C on one thread.
template <class T>
static void multiply_tile(const Matrix<T>& c, const Matrix<const T>& a, const Matrix<const T>& b,
                          int64_t rows, int64_t columns, int64_t depth) {
  constexpr int64_t width = kTileColumns<T>;
  alignas(64) T left[kTileRows * kLeftRow<T>];
  const int64_t rounded = (columns + width - 1) / width * width;
  int64_t block = rounded < kBlockColumns<T> ? rounded : kBlockColumns<T>;
  T* right = static_cast<T*>(scratch(kDepth * block * static_cast<int64_t>(sizeof(T))));
  alignas(64) T small[kDepth * width];
  if (right == nullptr) {  // no memory: the same, a panel of B at a time
    right = small;
    block = width;
  }
  Product<T> product = {};
  product.c_step = c.column;
  for (int64_t j = 0; j < columns; j += block) {
    for (int64_t k = 0; k < depth; k += kDepth) {
      const int64_t k_count = depth - k < kDepth ? depth - k : kDepth;
      const Matrix<T> c_block = {c.data + j * c.column, c.row, c.column};
      const T* b_block = b.data + k * b.row + j * b.column;
      product.columns = columns - j < block ? columns - j : block;
      product.accumulate = k > 0;
      pack_right(RightBlock<T>{b_block, b.row, b.column, k_count, product.columns, right,
                               k_count * width});
      product.b = right;
      product.b_panel = k_count * width;
      product.b_step = width;
      multiply_rows(product, c_block, a, rows, k, k_count, left);
    }
  }
}

// y = W x on one thread's part [from, to) of y: the matrix is A if there is one column, otherwise
// B^T.
template <class T>
static VectorProduct<T> vector_product(const Problem<T>& p, int64_t count) {
  if (p.columns == 1) {
    return {p.c.data, p.c.row, p.b.data, p.b.row, p.a.data, p.a.row, p.a.column, count, p.depth};
  }
  return {p.c.data,   p.c.column, p.a.data, p.a.column, p.b.data,
          p.b.column, p.b.row,    count,    p.depth};
}

template <class T>
static void matmul_any(const needle::View& dst, const needle::View& a, const needle::View& b) {
  const Problem<T> p = problem_of<T>(dst, a, b);
  int64_t batch = 1;
  for (int d = 0; d < p.batch_dims; ++d) batch *= p.batch[d];
  const bool vector = p.columns == 1 || p.rows == 1;
  const int64_t parts = parts_for(static_cast<double>(batch) * static_cast<double>(p.rows) *
                                  static_cast<double>(p.columns) * static_cast<double>(p.depth));
  // Few products are cut further, into as many parts as spread evenly.
  const int64_t cuts = batch >= 4 * parts || batch % parts == 0 ? 1 : parts;
  const Grid grid =
      cut_grid(p.rows, p.columns, vector ? 64 : kTileRows, vector ? 64 : kTileColumns<T>, cuts);
  const int64_t tiles = grid.down * grid.across, tasks = batch * tiles;
  const auto task = [&](int64_t index) {
    Problem<T> q = p;
    int64_t at = index / tiles;
    for (int d = 0; d < p.batch_dims; ++d) {
      const int64_t i = at % p.batch[d];
      at /= p.batch[d];
      q.c.data += i * p.c_batch[d];
      q.a.data += i * p.a_batch[d];
      q.b.data += i * p.b_batch[d];
    }
    const int64_t row = index % tiles / grid.across, column = index % grid.across;
    const int64_t row_unit = vector ? 64 : kTileRows, column_unit = vector ? 64 : kTileColumns<T>;
    const int64_t i0 = cut_at(p.rows, row_unit, grid.down, row),
                  i1 = cut_at(p.rows, row_unit, grid.down, row + 1);
    const int64_t j0 = cut_at(p.columns, column_unit, grid.across, column);
    const int64_t j1 = cut_at(p.columns, column_unit, grid.across, column + 1);
    q.c.data += i0 * p.c.row + j0 * p.c.column;
    q.a.data += i0 * p.a.row;
    q.b.data += j0 * p.b.column;
    if (vector) {
      multiply_vector(vector_product(q, p.columns == 1 ? i1 - i0 : j1 - j0));
    } else {
      multiply_tile(q.c, q.a, q.b, i1 - i0, j1 - j0, p.depth);
    }
  };
  run_tasks(tasks, parts, task);
}

void matmul(needle::View dst, needle::View a, needle::View b) {
  if (dst.dtype == needle::DType::float64) return matmul_any<double>(dst, a, b);
  matmul_any<float>(dst, a, b);
}

}  // namespace NEEDLE_NS
