// Backend: what a device must offer. The numpy backend is its executable specification; cpu, cuda
// and cuda_sim implement it natively. The core has checked shapes, dtypes and aliasing before it
// calls: kernels check nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "runtime.h"
#include "storage.h"
#include "view.h"

namespace needle {

#define NEEDLE_UNARY(name, formula) name,
enum class UnaryOp : std::uint8_t {
#include "ops.def"
  count
};
#define NEEDLE_BINARY(name, formula) name,
enum class BinaryOp : std::uint8_t {
#include "ops.def"
  count
};
#define NEEDLE_REDUCE(name, identity, formula) name,
enum class ReduceOp : std::uint8_t {
#include "ops.def"
  count
};

static inline const char* name(UnaryOp op) {
  static constexpr const char* names[] = {
#define NEEDLE_UNARY(name, formula) #name,
#include "ops.def"
  };
  return names[static_cast<int>(op)];
}

static inline const char* name(BinaryOp op) {
  static constexpr const char* names[] = {
#define NEEDLE_BINARY(name, formula) #name,
#include "ops.def"
  };
  return names[static_cast<int>(op)];
}

static inline const char* name(ReduceOp op) {
  static constexpr const char* names[] = {
#define NEEDLE_REDUCE(name, identity, formula) #name,
#include "ops.def"
  };
  return names[static_cast<int>(op)];
}

enum class ArgOp : std::uint8_t { argmax, argmin };

static inline const char* name(ArgOp op) { return op == ArgOp::argmax ? "argmax" : "argmin"; }

// Over rows: softmax, its logarithm, and the logarithm of the sum of powers.
enum class SoftmaxOp : std::uint8_t { softmax, logsoftmax, logsumexp };

static inline const char* name(SoftmaxOp op) {
  constexpr const char* names[] = {"softmax", "logsoftmax", "logsumexp"};
  return names[static_cast<int>(op)];
}

// What standardize makes: rows with mean 0 and variance 1, and their statistics.
struct Standardized {
  View y, mean, variance, inverse;
};

// What standardize_grad makes. dweight and dbias are like weight, or have null data where they are
// not asked for.
struct StandardizedGrad {
  View dx, dweight, dbias;
};

// Numbers of one step of SGD: u <- momentum u + undamped g, where the first u is that of 0, or the
// gradient itself when first_undamped.
struct SgdStep {
  double lr, momentum, undamped, weight_decay;
  bool nesterov, first, first_undamped;
};

// Numbers of one step of Adam. A correction is 1 - beta^t; decoupled: the decay acts on the
// parameter, not on the gradient. The first step reads no moments.
struct AdamStep {
  double lr, beta1, beta2, eps, weight_decay, correction1, correction2;
  bool decoupled, first;
};

// The arrays of one parameter's step, compact, of one dtype with those of the others: out is the
// new p, and may be p itself; velocity has null data without momentum.
struct SgdPart {
  View out, velocity, p, grad;
};
struct AdamPart {
  View out, first, second, p, grad;
};

// A Python number on its way into an array: integers keep 64 bits.
struct Scalar {
  double real;
  std::int64_t integer;
  bool integral;
};

// Geometry of conv2d; index 0 is height, 1 is width. Padding is the same on both sides of an axis.
// out = (in + 2 * padding - dilation * (k - 1) - 1) / stride + 1, rounded down.
struct Conv2dParams {
  std::int64_t stride[2];
  std::int64_t padding[2];
  std::int64_t dilation[2];
  std::int64_t groups;
};

// Windows of images; index 0 is height, 1 is width. A mean is divided by the elements of the
// kernel, or, when `inside`, by those of the window that lie in the image.
struct Pool2dParams {
  std::int64_t kernel[2];
  std::int64_t stride[2];
  std::int64_t padding[2];
  bool inside;
};

enum class PoolOp : std::uint8_t { max, mean };

static inline const char* name(PoolOp op) { return op == PoolOp::max ? "max_pool" : "avg_pool"; }

enum class CopyKind : std::uint8_t { to_device, to_host, within };

// Rules of every kernel below:
// - views are non-empty unless said otherwise; an output never overlaps an input; outputs have no
// zero stride;
// - all views of a call have one dtype, one that the device computes in, unless said otherwise;
// - float16 and bfloat16 are computed in float32, sums included, and each result is rounded once;
// - results do not depend on the number of threads.
class Backend {
 public:
  virtual ~Backend() = default;

  // Whether the kernels compute in a dtype; every device holds and casts them all.
  virtual bool computes(DType t) const noexcept { return is_computed(t); }

  // --- memory: blocks for the caching allocator; 64-byte aligned or better, nullptr when there is
  // none left
  virtual void* raw_allocate(std::size_t bytes) = 0;
  virtual void raw_free(void* block, std::size_t bytes) noexcept = 0;
  // True when the host can read and write this device's memory through its pointers.
  virtual bool host_memory() const noexcept = 0;
  virtual void copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind kind) = 0;
  virtual void fill_bytes(void* dst, unsigned char value, std::size_t bytes) {
    std::memset(dst, value, bytes);  // of host memory
  }
  // From now on these bytes count as never written, where a device can tell.
  virtual void forget(void* at, std::size_t bytes) {
    static_cast<void>(at);
    static_cast<void>(bytes);
  }
  // Waits for all work; reports errors of earlier asynchronous work.
  virtual void synchronize() = 0;
  // Streams and graphs; nullptr where work is done when a call returns.
  virtual Runtime* runtime() noexcept { return nullptr; }
  // Kernels' own memory comes from there; called once, before any kernel.
  virtual void use_scratch(ScratchSource*) {}

  // --- elementwise: equal shapes, broadcasting already expressed through zero strides
  virtual void copy(View dst, View src) = 0;      // any dtypes, converted (see Convert)
  virtual void fill(View dst, Scalar value) = 0;  // any dtype
  virtual void unary(UnaryOp op, View dst, View a) = 0;
  virtual void binary(BinaryOp op, View dst, View a, View b) = 0;
  virtual bool adds_in_place() const { return false; }  // whether the dst of add may be a
  // a op s, or s op a when reversed; s is rounded to the array's dtype first
  virtual void binary_scalar(BinaryOp op, View dst, View a, double s, bool reversed) = 0;

  // the nearest number to a in [low, high], infinite where there is no bound; NaN stays
  virtual void clip(View dst, View a, double low, double high) = 0;

  // mask != 0 ? a : b; the mask is bool or of the operands' dtype
  virtual void where(View dst, View mask, View a, View b) = 0;

  // --- reduction: dst has a's rank, with size 1 at every axis that is reduced (axes of a may be
  // empty: identity)
  virtual void reduce(ReduceOp op, View dst, View a) = 0;

  // --- along one axis; an index is int64 and lies in [0, size of the axis)
  // dst[.., i, ..] = a[.., index[.., i, ..], ..]: dst and index have one shape, a differs from it
  // along axis only; dst and a of any dtype
  virtual void gather(View dst, View a, View index, int axis) = 0;
  // dst[.., index[.., i, ..], ..] += a[.., i, ..], i rising: a and index have one shape, dst
  // differs from it along axis only
  virtual void scatter_add(View dst, View a, View index, int axis) = 0;
  // sums of the first 1, 2, ... elements, each from the one before (on CUDA in the order of a
  // scan); of the last when reversed
  virtual void cumsum(View dst, View a, int axis, bool reversed) = 0;
  // dst (int64, size 1 at axis) = where the largest or smallest element is: the first of equal
  // ones, the first NaN if there is one
  virtual void arg_reduce(ArgOp op, View dst, View a, int axis) = 0;

  // --- over rows, all views compact: a row is what lies along `axes` (a bit for each) at one index
  // of the other axes
  // dst has a's shape, size 1 at axes for logsumexp
  virtual void softmax(SoftmaxOp op, View dst, View a, unsigned axes) = 0;
  // dx from the result y and its cotangent dy: y (dy - sum(y dy)), or dy - exp(y) sum(dy) for
  // logsoftmax
  virtual void softmax_grad(SoftmaxOp op, View dx, View y, View dy, unsigned axes) = 0;

  // y = (x - mean) inverse, times weight plus bias where their data is not null; the variance is
  // divided by the length, inverse = 1 / sqrt(variance + eps). weight and bias have one element for
  // each row, or one for each place in a row where rows lie along the last axes. Statistics have
  // one for each row, float32 of 16-bit floats.
  virtual void standardize(const Standardized& out, View x, View weight, View bias, unsigned axes,
                           double eps) = 0;
  // dx = inverse (h - mean(h) - y mean(h y)), h = dy weight, y = (x - mean) inverse; dweight = dy y
  // and dbias = dy, summed over what shares an element of weight. Only where sums_in_gradient()
  // are the latter two asked for.
  virtual void standardize_grad(const StandardizedGrad& out, View dy, View x, View mean,
                                View inverse, View weight, unsigned axes) = 0;
  virtual bool sums_in_gradient() const { return false; }

  // --- steps, all views compact: core/steps.h has the formulas
  // of every parameter; the state changes in place
  virtual void sgd_step(std::span<const SgdPart> parts, const SgdStep& step) = 0;
  virtual void adam_step(std::span<const AdamPart> parts, const AdamStep& step) = 0;
  // h and next c (rows, n) from the gates i, f, g, o before their functions (rows, 4 n), and from c
  virtual void lstm_cell(View h, View next, View gates, View c) = 0;
  virtual void lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) = 0;

  // --- dst (..., M, N) = a (..., M, K) @ b (..., K, N): any strides, leading axes equal; K may be
  // 0 (zeros)
  virtual void matmul(View dst, View a, View b) = 0;

  // --- convolution (cross-correlation), all views compact: x (N, H, W, Cin), w (KH, KW, Cin /
  // groups, Cout),
  //     y (N, OH, OW, Cout)
  virtual void conv2d(View y, View x, View w, const Conv2dParams& p) = 0;
  virtual void conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) = 0;
  virtual void conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) = 0;

  // --- pooling, all views compact: x (N, H, W, C), y (N, OH, OW, C)
  // The largest element of every window (NaN wins; padding is -inf), or the mean (padding is 0).
  virtual void pool2d(PoolOp op, View y, View x, const Pool2dParams& p) = 0;
  // dx from dy: every window's cotangent in equal parts to its largest elements (to its NaNs, if
  // there are any; padding takes part where it is as large), or to all. x has null data for mean.
  virtual void pool2d_grad(PoolOp op, View dx, View dy, View x, const Pool2dParams& p) = 0;
};

}  // namespace needle
