// y[j] = sum over k of x[k] * w[j * j_stride + k * k_stride]: a matrix times a vector, either way
// around.
#pragma once

#include <cstdint>

namespace NEEDLE_NS {

template <class T>
struct VectorProduct {
  T* y;
  std::int64_t y_stride;
  const T* x;
  std::int64_t x_stride;
  const T* w;
  std::int64_t j_stride, k_stride;
  std::int64_t count, depth;  // j < count, k < depth
};

void multiply_vector(const VectorProduct<float>& product) noexcept;
void multiply_vector(const VectorProduct<double>& product) noexcept;

}  // namespace NEEDLE_NS
