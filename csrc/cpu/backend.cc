// CpuBackend: memory from the C library, kernels from the table of the chosen instruction set.
#include "backend.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "../core/environment.h"
#include "../core/errors.h"
#include "kernels.h"

namespace needle {

bool direct_convolutions() {
  static const bool direct = switched_on("NEEDLE_DIRECT_CONV");
  return direct;
}

namespace {

struct Isa {
  const char* word;  // in NEEDLE_ISA
  bool supported;
  const CpuKernels& (*kernels)();
};

const CpuKernels& choose() {
#if defined(__x86_64__)
  const Isa best_first[] = {
      {"v4", __builtin_cpu_supports("x86-64-v4") != 0, needle_cpu_v4::kernels},
      {"v3", __builtin_cpu_supports("x86-64-v3") != 0, needle_cpu_v3::kernels},
      {"v2", __builtin_cpu_supports("x86-64-v2") != 0, needle_cpu_v2::kernels},
  };
#else
  const Isa best_first[] = {{"generic", true, needle_cpu_generic::kernels}};
#endif
  const char* forced = std::getenv("NEEDLE_ISA");
  if (forced != nullptr && *forced == '\0') forced = nullptr;
  std::string words;
  for (const Isa& isa : best_first) {
    words += words.empty() ? isa.word : std::string(", ") + isa.word;
    if (forced != nullptr && std::strcmp(forced, isa.word) != 0) continue;
    if (isa.supported) return isa.kernels();
    if (forced != nullptr) {
      throw std::runtime_error(
          message("cpu", "this processor lacks the instruction set that NEEDLE_ISA asks for",
                  "NEEDLE_ISA", forced));
    }
  }
  if (forced != nullptr) {
    throw std::invalid_argument(
        message("cpu", "NEEDLE_ISA must be one of " + words, "NEEDLE_ISA", forced));
  }
  throw std::runtime_error(
      message("cpu", "this processor lacks every instruction set of this build: " + words));
}

class CpuBackend final : public Backend {
 public:
  CpuBackend() : kernels_(choose()) {}
  const CpuKernels& kernels() const { return kernels_; }

  void* raw_allocate(std::size_t bytes) override {
    const std::size_t alignment = bytes >= kHugeFrom ? kHugePage : kAlignment;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    if (rounded < bytes) return nullptr;
    void* block = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    // Only advice: first touch of huge pages is six times as fast; without them all works the same.
    if (block != nullptr && alignment == kHugePage) madvise(block, rounded, MADV_HUGEPAGE);
    return block;
  }
  void raw_free(void* block, std::size_t) noexcept override { std::free(block); }
  bool host_memory() const noexcept override { return true; }
  void copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind) override {
    if (bytes > 0) std::memcpy(dst, src, bytes);
  }
  void synchronize() override {}

  void copy(View dst, View src) override { kernels_.copy(dst, src); }
  void fill(View dst, Scalar value) override { kernels_.fill(dst, value); }
  void unary(UnaryOp op, View dst, View a) override { kernels_.unary(op, dst, a); }
  void binary(BinaryOp op, View dst, View a, View b) override { kernels_.binary(op, dst, a, b); }
  bool adds_in_place() const override { return true; }
  void binary_scalar(BinaryOp op, View dst, View a, double s, bool reversed) override {
    kernels_.binary_scalar(op, dst, a, s, reversed);
  }
  void clip(View dst, View a, double low, double high) override {
    kernels_.clip(dst, a, low, high);
  }
  void where(View dst, View mask, View a, View b) override { kernels_.where(dst, mask, a, b); }
  void gather(View dst, View a, View index, int axis) override {
    kernels_.gather(dst, a, index, axis);
  }
  void scatter_add(View dst, View a, View index, int axis) override {
    kernels_.scatter_add(dst, a, index, axis);
  }
  void cumsum(View dst, View a, int axis, bool reversed) override {
    kernels_.cumsum(dst, a, axis, reversed);
  }
  void arg_reduce(ArgOp op, View dst, View a, int axis) override {
    kernels_.arg_reduce(op, dst, a, axis);
  }
  void reduce(ReduceOp op, View dst, View a) override { kernels_.reduce(op, dst, a); }
  void softmax(SoftmaxOp op, View dst, View a, unsigned axes) override {
    kernels_.softmax(op, dst, a, axes);
  }
  void softmax_grad(SoftmaxOp op, View dx, View y, View dy, unsigned axes) override {
    kernels_.softmax_grad(op, dx, y, dy, axes);
  }
  void standardize(const Standardized& out, View x, View weight, View bias, unsigned axes,
                   double eps) override {
    kernels_.standardize(out, x, weight, bias, axes, eps);
  }
  void standardize_grad(const StandardizedGrad& out, View dy, View x, View mean, View inverse,
                        View weight, unsigned axes) override {
    kernels_.standardize_grad(out, dy, x, mean, inverse, weight, axes);
  }
  bool sums_in_gradient() const override { return true; }
  void sgd_step(std::span<const SgdPart> parts, const SgdStep& step) override {
    kernels_.sgd_step(parts.data(), static_cast<std::int64_t>(parts.size()), step);
  }
  void adam_step(std::span<const AdamPart> parts, const AdamStep& step) override {
    kernels_.adam_step(parts.data(), static_cast<std::int64_t>(parts.size()), step);
  }
  void lstm_cell(View h, View next, View gates, View c) override {
    kernels_.lstm_cell(h, next, gates, c);
  }
  void lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) override {
    kernels_.lstm_cell_grad(dgates, dc, gates, c, dh, dnext);
  }
  void matmul(View dst, View a, View b) override { kernels_.matmul(dst, a, b); }
  void conv2d(View y, View x, View w, const Conv2dParams& p) override {
    kernels_.conv2d(y, x, w, p);
  }
  void conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) override {
    kernels_.conv2d_grad_input(dx, dy, w, p);
  }
  void conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) override {
    kernels_.conv2d_grad_weight(dw, x, dy, p);
  }
  void pool2d(PoolOp op, View y, View x, const Pool2dParams& p) override {
    kernels_.pool2d(op, y, x, p);
  }
  void pool2d_grad(PoolOp op, View dx, View dy, View x, const Pool2dParams& p) override {
    kernels_.pool2d_grad(op, dx, dy, x, p);
  }

 private:
  static constexpr std::size_t kAlignment = 64, kHugePage = 2 << 20, kHugeFrom = 4 << 20;
  const CpuKernels& kernels_;
};

CpuBackend& instance() {
  static auto* const backend =
      new CpuBackend;  // outlives whatever frees memory while the process ends
  return *backend;
}

}  // namespace

Backend* cpu_backend() { return &instance(); }

const char* cpu_isa() { return cpu_kernels().isa; }

const CpuKernels& cpu_kernels() { return instance().kernels(); }

}  // namespace needle
