// Launch: the one way from host code to a kernel, and the one way of a kernel to its shared memory.
// The same text compiles with nvcc and, against sim/cuda_runtime.h, with the host compiler.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "../core/errors.h"
#include "../core/storage.h"
#include "../core/view.h"

namespace NEEDLE_NS {

// Where work is queued, and for which op: errors name it. Checked: wait after every launch, so that
// an error is reported by the op that caused it. Scratch: the device's allocator.
struct Stream {
  cudaStream_t handle;
  const char* op;
  bool checked;
  needle::ScratchSource* scratch = nullptr;
};

inline void check(cudaError_t error, const Stream& stream) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // an error that can be cleared is reported once
  throw std::runtime_error(needle::message(
      stream.op,
      stream.checked ? "the CUDA kernel or call failed"
                     : "a CUDA call failed, here or in earlier work (NEEDLE_CHECKED=1 tells where)",
      "error", cudaGetErrorString(error)));
}

template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes,
            const Stream& stream, Args&&... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream.handle;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...), stream);
  if (stream.checked) check(cudaStreamSynchronize(stream.handle), stream);
}

// A kernel's shared memory: one object of type T per block, uninitialised. One call per type in a
// kernel.
template <class T>
__device__ __forceinline__ T& shared() {
#ifdef __CUDACC__
  __shared__ T object;
  return object;
#else
  return needle_sim::shared<T>();
#endif
}

inline unsigned blocks_for(std::int64_t items, std::int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

// Device memory for the time of one op, in the stream's order.
class Scratch {
 public:
  Scratch(std::size_t bytes, const Stream& stream)
      : source_(*stream.scratch), block_(source_.allocate(bytes)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { source_.deallocate(block_); }
  void* data() const { return block_->data; }

 private:
  needle::ScratchSource& source_;
  needle::Storage* block_;
};

}  // namespace NEEDLE_NS
