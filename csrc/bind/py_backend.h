// PyBackend: a backend whose kernels are the Python functions of
// needle/backend_ndarray/numpy_backend.py, called with numpy views over host memory. It only
// adapts; the rules are those of core/backend.h.
#pragma once

#include <pybind11/pybind11.h>

#include "core/backend.h"

namespace needle::bind {

class PyBackend final : public Backend {
 public:
  explicit PyBackend(pybind11::module_ kernels);

  void* raw_allocate(std::size_t bytes) override;
  void raw_free(void* block, std::size_t bytes) noexcept override;
  bool host_memory() const noexcept override { return true; }
  void copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind kind) override;
  void synchronize() override {}

  void copy(View dst, View src) override;
  void fill(View dst, Scalar value) override;
  void unary(UnaryOp op, View dst, View a) override;
  void binary(BinaryOp op, View dst, View a, View b) override;
  bool adds_in_place() const override { return true; }
  void binary_scalar(BinaryOp op, View dst, View a, double s, bool reversed) override;
  void clip(View dst, View a, double low, double high) override;
  void where(View dst, View mask, View a, View b) override;
  void gather(View dst, View a, View index, int axis) override;
  void scatter_add(View dst, View a, View index, int axis) override;
  void cumsum(View dst, View a, int axis, bool reversed) override;
  void arg_reduce(ArgOp op, View dst, View a, int axis) override;
  void reduce(ReduceOp op, View dst, View a) override;
  void softmax(SoftmaxOp op, View dst, View a, unsigned axes) override;
  void softmax_grad(SoftmaxOp op, View dx, View y, View dy, unsigned axes) override;
  void standardize(const Standardized& out, View x, View weight, View bias, unsigned axes,
                   double eps) override;
  void standardize_grad(const StandardizedGrad& out, View dy, View x, View mean, View inverse,
                        View weight, unsigned axes) override;
  bool sums_in_gradient() const override { return true; }
  void sgd_step(std::span<const SgdPart> parts, const SgdStep& step) override;
  void adam_step(std::span<const AdamPart> parts, const AdamStep& step) override;
  void lstm_cell(View h, View next, View gates, View c) override;
  void lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) override;
  void matmul(View dst, View a, View b) override;
  void conv2d(View y, View x, View w, const Conv2dParams& p) override;
  void conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) override;
  void conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) override;
  void pool2d(PoolOp op, View y, View x, const Pool2dParams& p) override;
  void pool2d_grad(PoolOp op, View dx, View dy, View x, const Pool2dParams& p) override;

 private:
  pybind11::module_ kernels_;
};

}  // namespace needle::bind
