// CudaBackend: needle's Backend on one CUDA device. Work is queued on the calling thread's stream
// and runs in order; copies to and from the host wait for it.
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../core/environment.h"
#include "cuda_backend.h"
#include "devices.h"
#include "kernels.h"
#include "runtime.h"

namespace NEEDLE_NS {
namespace {

using needle::BinaryOp;
using needle::Conv2dParams;
using needle::CopyKind;
using needle::ReduceOp;
using needle::Scalar;
using needle::UnaryOp;
using needle::View;

class CudaBackend final : public needle::Backend {
 public:
  explicit CudaBackend(int device) : device_(device), runtime_(device) {
    // Wait after every launch, so that an error names the op that caused it.
    runtime_.checked = needle::switched_on("NEEDLE_CHECKED");
  }

  needle::Runtime* runtime() noexcept override { return &runtime_; }
  void use_scratch(needle::ScratchSource* source) override { runtime_.scratch = source; }

  void* raw_allocate(std::size_t bytes) override {
    void* block = nullptr;
    const Stream s = stream("allocate");
    const cudaError_t error = cudaMalloc(&block, bytes);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    check(error, s);
    return block;
  }

  void raw_free(void* block, std::size_t) noexcept override {
    // At the end of a process the driver may be gone before its users: nothing is left to free
    // then.
    if (forked()) return;
    if (cudaSetDevice(device_) != cudaSuccess || cudaFree(block) != cudaSuccess) cudaGetLastError();
  }

  bool host_memory() const noexcept override { return false; }
  bool computes(needle::DType t) const noexcept override { return needle::is_floating(t); }

  void copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind kind) override {
    if (kind == CopyKind::to_host) {
      runtime_.forbid_in_capture(
          "copy to the host",
          "there are no values while a graph is captured: read them after a replay");
    } else if (kind == CopyKind::to_device) {
      runtime_.forbid_in_capture(
          "copy to the device",
          "a graph would be captured with the host's values of now: make the array "
          "before, and write to it with x[...] = value");
    }
    const Stream s = stream("copy");
    const cudaMemcpyKind direction = kind == CopyKind::to_device ? cudaMemcpyHostToDevice
                                     : kind == CopyKind::to_host ? cudaMemcpyDeviceToHost
                                                                 : cudaMemcpyDeviceToDevice;
    check(cudaMemcpyAsync(dst, src, bytes, direction, s.handle), s);
    if (kind != CopyKind::within || s.checked) check(cudaStreamSynchronize(s.handle), s);
  }

  void fill_bytes(void* dst, unsigned char value, std::size_t bytes) override {
    const Stream s = stream("fill");
    if (bytes > 0) check(cudaMemsetAsync(dst, value, bytes, s.handle), s);
  }

#if NEEDLE_SIM
  void forget(void* at, std::size_t bytes) override {
    const Stream s = stream("forget");
    check(simForgetAsync(at, bytes, s.handle), s);
  }
#endif

  void synchronize() override {
    runtime_.forbid_in_capture("synchronize",
                               "nothing can be waited for while a graph is captured");
    const Stream s = stream("synchronize");
    check(cudaDeviceSynchronize(), s);
  }

  void copy(View dst, View src) override { NEEDLE_NS::copy(stream("copy"), dst, src); }
  void fill(View dst, Scalar value) override { NEEDLE_NS::fill(stream("fill"), dst, value); }
  void unary(UnaryOp op, View dst, View a) override {
    NEEDLE_NS::unary(stream(needle::name(op)), op, dst, a);
  }
  void binary(BinaryOp op, View dst, View a, View b) override {
    NEEDLE_NS::binary(stream(needle::name(op)), op, dst, a, b);
  }
  void binary_scalar(BinaryOp op, View dst, View a, double s, bool reversed) override {
    NEEDLE_NS::binary_scalar(stream(needle::name(op)), op, dst, a, s, reversed);
  }
  void clip(View dst, View a, double low, double high) override {
    NEEDLE_NS::clip(stream("clip"), dst, a, low, high);
  }
  void where(View dst, View mask, View a, View b) override {
    NEEDLE_NS::where(stream("where"), dst, mask, a, b);
  }
  void gather(View dst, View a, View index, int axis) override {
    NEEDLE_NS::gather(stream("gather"), dst, a, index, axis);
  }
  void scatter_add(View dst, View a, View index, int axis) override {
    NEEDLE_NS::scatter_add(stream("scatter_add"), dst, a, index, axis);
  }
  void cumsum(View dst, View a, int axis, bool reversed) override {
    NEEDLE_NS::cumsum(stream("cumsum"), dst, a, axis, reversed);
  }
  void arg_reduce(needle::ArgOp op, View dst, View a, int axis) override {
    NEEDLE_NS::arg_reduce(stream(needle::name(op)), op, dst, a, axis);
  }
  void reduce(ReduceOp op, View dst, View a) override {
    NEEDLE_NS::reduce(stream(needle::name(op)), op, dst, a);
  }
  void softmax(needle::SoftmaxOp op, View dst, View a, unsigned axes) override {
    NEEDLE_NS::softmax(stream(needle::name(op)), op, dst, a, axes);
  }
  void softmax_grad(needle::SoftmaxOp op, View dx, View y, View dy, unsigned axes) override {
    NEEDLE_NS::softmax_grad(stream("softmax_grad"), op, dx, y, dy, axes);
  }
  void standardize(const needle::Standardized& out, View x, View weight, View bias, unsigned axes,
                   double eps) override {
    NEEDLE_NS::standardize(stream("standardize"), out, x, weight, bias, axes, eps);
  }
  void standardize_grad(const needle::StandardizedGrad& out, View dy, View x, View mean,
                        View inverse, View weight, unsigned axes) override {
    NEEDLE_NS::standardize_grad(stream("standardize_grad"), out.dx, dy, x, mean, inverse, weight,
                                axes);
  }
  void sgd_step(std::span<const needle::SgdPart> parts, const needle::SgdStep& step) override {
    const Stream on = stream("sgd_step");
    for (const needle::SgdPart& part : parts) NEEDLE_NS::sgd_step(on, part, step);
  }
  void adam_step(std::span<const needle::AdamPart> parts, const needle::AdamStep& step) override {
    const Stream on = stream("adam_step");
    for (const needle::AdamPart& part : parts) NEEDLE_NS::adam_step(on, part, step);
  }
  void lstm_cell(View h, View next, View gates, View c) override {
    NEEDLE_NS::lstm_cell(stream("lstm_cell"), h, next, gates, c);
  }
  void lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) override {
    NEEDLE_NS::lstm_cell_grad(stream("lstm_cell_grad"), dgates, dc, gates, c, dh, dnext);
  }
  void matmul(View dst, View a, View b) override { NEEDLE_NS::matmul(stream("matmul"), dst, a, b); }
  void conv2d(View y, View x, View w, const Conv2dParams& p) override {
    NEEDLE_NS::conv2d(stream("conv2d"), y, x, w, p);
  }
  void conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) override {
    NEEDLE_NS::conv2d_grad_input(stream("conv2d_grad_input"), dx, dy, w, p);
  }
  void conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) override {
    NEEDLE_NS::conv2d_grad_weight(stream("conv2d_grad_weight"), dw, x, dy, p);
  }
  void pool2d(needle::PoolOp op, View y, View x, const needle::Pool2dParams& p) override {
    NEEDLE_NS::pool2d(stream(needle::name(op)), op, y, x, p);
  }
  void pool2d_grad(needle::PoolOp op, View dx, View dy, View x,
                   const needle::Pool2dParams& p) override {
    NEEDLE_NS::pool2d_grad(stream("pool2d_grad"), op, dx, dy, x, p);
  }

 private:
  Stream stream(const char* op) const { return runtime_.stream_for(op); }

  int device_;
  CudaRuntime runtime_;
};

}  // namespace

needle::Backend* backend(int index) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<CudaBackend>>& backends =
      *new std::vector<std::unique_ptr<CudaBackend>>;  // used until the process ends
  const std::lock_guard lock(mutex);
  const int count = device_count();
  if (index < 0 || index >= count) {
    throw std::out_of_range(needle::message("device", "there is no CUDA device of this index",
                                            "index", index, "devices", count));
  }
  backends.resize(static_cast<std::size_t>(count));
  auto& slot = backends[static_cast<std::size_t>(index)];
  if (!slot) slot = std::make_unique<CudaBackend>(index);
  return slot.get();
}

}  // namespace NEEDLE_NS
