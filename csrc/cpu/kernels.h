// The cpu kernels as a table of function pointers. Every kernel file is compiled once per
// instruction set into a namespace of its own (NEEDLE_NS); cpu/backend.cc picks one table at load
// (NEEDLE_ISA forces one).
#pragma once

#include "../core/backend.h"

namespace needle {

// Whether NEEDLE_DIRECT_CONV=1 keeps Winograd's convolutions away.
bool direct_convolutions();

struct CpuKernels {
  const char* isa;  // "x86-64-v2", "x86-64-v3", "x86-64-v4", "generic"
  void (*copy)(View dst, View src);
  void (*fill)(View dst, Scalar value);
  void (*unary)(UnaryOp op, View dst, View a);
  void (*binary)(BinaryOp op, View dst, View a, View b);
  void (*binary_scalar)(BinaryOp op, View dst, View a, double s, bool reversed);
  void (*clip)(View dst, View a, double low, double high);
  void (*where)(View dst, View mask, View a, View b);
  void (*gather)(View dst, View a, View index, int axis);
  void (*scatter_add)(View dst, View a, View index, int axis);
  void (*cumsum)(View dst, View a, int axis, bool reversed);
  void (*arg_reduce)(ArgOp op, View dst, View a, int axis);
  void (*reduce)(ReduceOp op, View dst, View a);
  void (*softmax)(SoftmaxOp op, View dst, View a, unsigned axes);
  void (*softmax_grad)(SoftmaxOp op, View dx, View y, View dy, unsigned axes);
  void (*standardize)(const Standardized& out, View x, View weight, View bias, unsigned axes,
                      double eps);
  void (*standardize_grad)(const StandardizedGrad& out, View dy, View x, View mean, View inverse,
                           View weight, unsigned axes);
  void (*sgd_step)(const SgdPart* parts, std::int64_t count, const SgdStep& step);
  void (*adam_step)(const AdamPart* parts, std::int64_t count, const AdamStep& step);
  void (*lstm_cell)(View h, View next, View gates, View c);
  void (*lstm_cell_grad)(View dgates, View dc, View gates, View c, View dh, View dnext);
  void (*matmul)(View dst, View a, View b);
  void (*conv2d)(View y, View x, View w, const Conv2dParams& p);
  void (*conv2d_grad_input)(View dx, View dy, View w, const Conv2dParams& p);
  void (*conv2d_grad_weight)(View dw, View x, View dy, const Conv2dParams& p);
  void (*pool2d)(PoolOp op, View y, View x, const Pool2dParams& p);
  void (*pool2d_grad)(PoolOp op, View dx, View dy, View x, const Pool2dParams& p);
  // For benchmarks. Operations done by all threads, each of which does so many rounds.
  double (*multiply_adds)(DType dtype, std::int64_t rounds);
  // Reads src so many times, or copies it to dst unless that is null.
  void (*move)(void* dst, const void* src, std::int64_t bytes, std::int64_t times, bool past);
};

}  // namespace needle

// One declaration per instruction set that the build knows; each kernel file defines its functions
// in NEEDLE_NS and table.cc fills the table there.
namespace needle_cpu_v2 {
const needle::CpuKernels& kernels();
}
namespace needle_cpu_v3 {
const needle::CpuKernels& kernels();
}
namespace needle_cpu_v4 {
const needle::CpuKernels& kernels();
}
namespace needle_cpu_generic {
const needle::CpuKernels& kernels();
}
