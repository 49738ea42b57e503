// Matmul: dst (..., M, N) = a (..., M, K) @ b (..., K, N), any strides (transposed and broadcast
// operands are read as they lie). By cuBLASLt where it is (libraries/), else here: one product of
// matrices per index of the leading axes; tiles as in gemm.cuh.
#include "gemm.cuh"
#include "kernels.h"
#include "libraries/libraries.h"
#include "nest.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

// Row m of a, or column n of b.
template <class T>
struct Strided {
  using Lane = const T*;
  const T* data;
  std::int64_t count, lane_stride, k_stride;

  __device__ std::int64_t lanes() const { return count; }
  __device__ bool k_first() const { return k_stride == 1; }
  __device__ Lane lane(std::int64_t i) const { return data + i * lane_stride; }
  __device__ T at(Lane lane, std::int64_t k) const { return lane[k * k_stride]; }
};

template <class T>
struct Matrix {
  T* data;
  std::int64_t row_stride, column_stride;
  __device__ void put(std::int64_t m, std::int64_t n, Compute<T> value) const {
    data[m * row_stride + n * column_stride] = narrow<T>(value);
  }
};

template <class T>
__global__ void __launch_bounds__(kGemmThreads, 1)
    matmul_kernel(Matrix<T> dst, Strided<T> a, Strided<T> b, std::int64_t depth,
                  Nest<3, std::int64_t> batch, std::int64_t products) {
  const std::int64_t tiles = (b.lanes() + kTile - 1) / kTile;
  const std::int64_t first_m = blockIdx.x / tiles * kTile, first_n = blockIdx.x % tiles * kTile;
  for (std::int64_t p = blockIdx.y; p < products; p += gridDim.y) {
    const auto at = batch.at(p);
    Matrix<T> out = dst;
    Strided<T> left = a, right = b;
    out.data += at.of[0];
    left.data += at.of[1];
    right.data += at.of[2];
    gemm_tile<Compute<T>>(left, right, out, first_m, first_n, depth);
  }
}

template <class T>
Strided<T> operand(const View& v, int lane_axis, int k_axis) {
  return {static_cast<const T*>(v.data), v.shape[lane_axis], v.strides[lane_axis],
          v.strides[k_axis]};
}

}  // namespace

void matmul(const Stream& stream, View dst, View a, View b) {
  const int row = dst.ndim - 2, column = dst.ndim - 1;
  if (needle::numel(dst) == 0 || libraries::matmul(stream, dst, a, b)) return;
  View batch[] = {dst, a, b};
  for (View& v : batch) v.ndim -= 2;
  needle::collapse(batch, 3);
  const std::int64_t products = needle::numel(batch[0]);
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Matrix<T> out{static_cast<T*>(dst.data), dst.strides[row], dst.strides[column]};
    launch(matmul_kernel<T>, gemm_grid(dst.shape[row], dst.shape[column], products), kGemmThreads,
           0, stream, out, operand<T>(a, row, column), operand<T>(b, column, row), a.shape[column],
           make_nest<3, std::int64_t>(batch), products);
  });
}

}  // namespace NEEDLE_NS
