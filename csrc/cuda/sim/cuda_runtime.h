// The part of the CUDA runtime that our kernels use, for the host compiler: with this folder first
// on the include path a .cu file compiles as C++ and runs on the simulator (scheduler.h). Names and
// meanings are CUDA's.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "atomics.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// --- errors, memory, streams

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
};

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice
};

using cudaStream_t = struct needle_sim_stream*;

cudaError_t cudaGetLastError();
const char* cudaGetErrorString(
    cudaError_t error);  // with the simulator's report where there is one
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaMalloc(void** block, std::size_t bytes);  // poisoned with 0xFF bytes
cudaError_t cudaFree(void* block);
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes);
cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpyPeerAsync(void* dst, int dst_device, const void* src, int src_device,
                                std::size_t bytes, cudaStream_t stream);
cudaError_t simForgetAsync(void* at, std::size_t bytes,
                           cudaStream_t stream);  // CUDA has none: as never written from then on

#include "streams.h"

// --- launches

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

namespace needle_sim {

// A kernel and its arguments.
template <class... Params>
struct Call {
  void (*kernel)(Params...);
  std::tuple<std::decay_t<Params>...> arguments;
  static void run(const void* self) {
    const auto* call = static_cast<const Call*>(self);
    std::apply(call->kernel, call->arguments);
  }
};

// Runs run(call), which is of `bytes` bytes, once per thread of the grid; `kernel` names it in
// reports.
cudaError_t run_grid(const cudaLaunchConfig_t& config, void (*run)(const void*), const void* call,
                     std::size_t bytes, const void* kernel);

// Memory of the block that is running: `key` names one object of a kernel; the same for all its
// threads.
void* shared_object(const void* key, std::size_t bytes, std::size_t alignment);
void* dynamic_shared_memory();

// One object at each place in the source that says it, as `__shared__ T name` would be.
template <class T, class Place = decltype([] {})>
T& shared() {
  static const char key = 0;
  return *static_cast<T*>(shared_object(&key, sizeof(T), alignof(T)));
}

// Rendezvous of lanes: returns what lane `source` gave, or for a vote the mask of the lanes that
// gave non-zero.
enum class Exchange : std::uint8_t { sync, shuffle, vote };
void barrier(const char* file, int line);
std::uint64_t exchange(Exchange kind, unsigned mask, std::uint64_t value, int source,
                       const char* file, int line);
int lane();

}  // namespace needle_sim

template <class... Params, class... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...),
                               Args&&... args) {
  using Call = needle_sim::Call<Params...>;
  return needle_sim::queue(
      config->stream, [config = *config, call = Call{kernel, {std::forward<Args>(args)...}}] {
        return needle_sim::run_grid(config, call.run, &call, sizeof call,
                                    reinterpret_cast<const void*>(call.kernel));
      });
}

// --- device functions

#define NEEDLE_SIM_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(NEEDLE_SIM_SITE) { needle_sim::barrier(file, line); }

inline void __syncwarp(unsigned mask = ~0u, NEEDLE_SIM_SITE) {
  needle_sim::exchange(needle_sim::Exchange::sync, mask, 0, 0, file, line);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, NEEDLE_SIM_SITE) {
  return static_cast<unsigned>(needle_sim::exchange(needle_sim::Exchange::vote, mask,
                                                    predicate != 0 ? 1u : 0u, 0, file, line));
}

inline int __any_sync(unsigned mask, int predicate, NEEDLE_SIM_SITE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}

inline int __all_sync(unsigned mask, int predicate, NEEDLE_SIM_SITE) {
  return __ballot_sync(mask, predicate == 0, file, line) == 0;
}

namespace needle_sim {

template <class T>
T shuffle(unsigned mask, T value, int source, const char* file, int line) {
  static_assert(sizeof(T) <= 8, "a shuffle moves 8 bytes at most");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(Exchange::shuffle, mask, bits, source, file, line);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace needle_sim

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, NEEDLE_SIM_SITE) {
  const int first = needle_sim::lane() & ~(width - 1);
  return needle_sim::shuffle(mask, value, first + (source & (width - 1)), file, line);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, NEEDLE_SIM_SITE) {
  const int self = needle_sim::lane(), source = self - static_cast<int>(delta);
  const bool inside = source >= (self & ~(width - 1));
  return needle_sim::shuffle(mask, value, inside ? source : self, file, line);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, NEEDLE_SIM_SITE) {
  const int self = needle_sim::lane(), source = self + static_cast<int>(delta);
  const bool inside = source <= (self | (width - 1));
  return needle_sim::shuffle(mask, value, inside ? source : self, file, line);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize, NEEDLE_SIM_SITE) {
  const int self = needle_sim::lane(), source = self ^ lane_mask;
  const bool inside =
      source <= (self | (width - 1));  // an earlier group may be read, a later one not
  return needle_sim::shuffle(mask, value, inside ? source : self, file, line);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
