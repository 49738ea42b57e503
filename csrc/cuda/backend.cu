// CudaBackend: needle's Backend on one CUDA device. Work is queued on the device's default stream
// and runs in order; copies to and from the host wait for it.
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_backend.h"
#include "kernels.h"

namespace NEEDLE_NS {
namespace {

using needle::BinaryOp;
using needle::Conv2dParams;
using needle::CopyKind;
using needle::ReduceOp;
using needle::Scalar;
using needle::UnaryOp;
using needle::View;

// NEEDLE_CHECKED=1: wait after every launch, so that an error names the op that caused it.
bool checked_mode() {
  const char* value = std::getenv("NEEDLE_CHECKED");
  return value != nullptr && std::string(value) == "1";
}

class CudaBackend final : public needle::Backend {
 public:
  explicit CudaBackend(int device) : device_(device), checked_(checked_mode()) {}

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
    if (cudaSetDevice(device_) != cudaSuccess || cudaFree(block) != cudaSuccess) cudaGetLastError();
  }

  bool host_memory() const noexcept override { return false; }
  bool computes(needle::DType t) const noexcept override { return needle::is_floating(t); }

  void copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind kind) override {
    const Stream s = stream("copy");
    const cudaMemcpyKind direction = kind == CopyKind::to_device ? cudaMemcpyHostToDevice
                                     : kind == CopyKind::to_host ? cudaMemcpyDeviceToHost
                                                                 : cudaMemcpyDeviceToDevice;
    check(cudaMemcpyAsync(dst, src, bytes, direction, s.handle), s);
    if (kind != CopyKind::within || s.checked) check(cudaStreamSynchronize(s.handle), s);
  }

  void synchronize() override {
    const Stream s = stream("synchronize");
    check(cudaStreamSynchronize(s.handle), s);
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
  void standardize_grad(View dx, View dy, View x, View mean, View inverse, View weight,
                        unsigned axes) override {
    NEEDLE_NS::standardize_grad(stream("standardize_grad"), dx, dy, x, mean, inverse, weight, axes);
  }
  void sgd_step(View out, View velocity, View p, View grad, const needle::SgdStep& step) override {
    NEEDLE_NS::sgd_step(stream("sgd_step"), out, velocity, p, grad, step);
  }
  void adam_step(View out, View first, View second, View p, View grad,
                 const needle::AdamStep& step) override {
    NEEDLE_NS::adam_step(stream("adam_step"), out, first, second, p, grad, step);
  }
  void lstm_cell(View h, View next, View gates, View c) override {
    NEEDLE_NS::lstm_cell(stream("lstm_cell"), h, next, gates, c);
  }
  void lstm_cell_grad(View dgates, View dc, View gates, View c, View dh, View dnext) override {
    NEEDLE_NS::lstm_cell_grad(stream("lstm_cell_grad"), dgates, dc, gates, c, dh, dnext);
  }
  void matmul(View dst, View a, View b) override {
    require_wide("matmul", dst);
    NEEDLE_NS::matmul(stream("matmul"), dst, a, b);
  }
  void conv2d(View y, View x, View w, const Conv2dParams& p) override {
    require_wide("conv2d", y);
    NEEDLE_NS::conv2d(stream("conv2d"), y, x, w, p);
  }
  void conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) override {
    require_wide("conv2d_grad_input", dx);
    NEEDLE_NS::conv2d_grad_input(stream("conv2d_grad_input"), dx, dy, w, p);
  }
  void conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) override {
    require_wide("conv2d_grad_weight", dw);
    NEEDLE_NS::conv2d_grad_weight(stream("conv2d_grad_weight"), dw, x, dy, p);
  }

 private:
  // Products of float16 and bfloat16 have no kernels yet.
  static void require_wide(const char* op, const View& v) {
    if (needle::is_computed(v.dtype)) return;
    throw needle::TypeMismatch(needle::message(
        op, "computes in float32 and float64 (use .astype())", "dtype", needle::name(v.dtype)));
  }

  // The stream for one op; makes this backend's device the calling thread's.
  Stream stream(const char* op) const {
    const Stream s{nullptr, op, checked_};
    check(cudaSetDevice(device_), s);
    return s;
  }

  int device_;
  bool checked_;
};

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

std::optional<std::string> unavailable_reason() {
  int driver = 0, runtime = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "no CUDA driver is installed";
  }
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return std::nullopt;
  cudaGetLastError();
  if (error == cudaErrorNoDevice || error == cudaSuccess) return "no CUDA device";
  if (error == cudaErrorInsufficientDriver && cudaRuntimeGetVersion(&runtime) == cudaSuccess) {
    return "driver too old (it supports CUDA " + version_text(driver) + ", needle was built with " +
           version_text(runtime) + ")";
  }
  return std::string("CUDA cannot be used: ") + cudaGetErrorString(error);
}

int device_count() {
  int count = 0;
  if (unavailable_reason().has_value() || cudaGetDeviceCount(&count) != cudaSuccess) return 0;
  return count;
}

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
