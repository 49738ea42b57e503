// The simulator's runtime calls: device memory, copies, errors. Everything is synchronous.
//
// Device memory is host memory in disguise; the simulator knows its blocks, so that a copy in the
// wrong direction or past a block's end is an error here as it is on a GPU.
#include "runtime.h"

#include <cuda_runtime.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "checker.h"

namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kApart = 256;  // between blocks: who leaves one does not reach the next

std::mutex blocks_mutex;
std::map<const unsigned char*, std::size_t> blocks;  // start and size
thread_local cudaError_t last_error = cudaSuccess;
thread_local std::string last_report;

enum class Place { host, device, astray };

// Where [start, start + bytes) lies; astray: partly in a block.
Place place(const void* address, std::size_t bytes) {
  const auto* start = static_cast<const unsigned char*>(address);
  const std::lock_guard lock(blocks_mutex);
  auto after = blocks.upper_bound(start);
  if (after != blocks.end() && after->first < start + bytes) return Place::astray;
  if (after == blocks.begin()) return Place::host;
  const auto& [block, size] = *--after;
  if (start >= block + size) return Place::host;
  return start + bytes <= block + size ? Place::device : Place::astray;
}

}  // namespace

namespace needle_sim {

cudaError_t record(cudaError_t error, const std::string& report) {
  if (error != cudaSuccess) {
    last_error = error;
    last_report = report;
  }
  return error;
}

}  // namespace needle_sim

using needle_sim::record;

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "driver too old";
    case cudaErrorNoDevice:
      return "no device";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorLaunchFailure:
      return last_report.c_str();
  }
  return "unknown error";
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  return record(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaMalloc(void** block, std::size_t bytes) {
  *block = nullptr;
  if (bytes == 0) return cudaSuccess;
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, bytes + kApart) != 0)
    return record(cudaErrorMemoryAllocation);
  if (!needle_sim::note_allocated(memory, bytes)) {
    std::free(memory);
    return record(cudaErrorMemoryAllocation);
  }
  std::memset(memory, 0xff, bytes);
  const std::lock_guard lock(blocks_mutex);
  blocks[static_cast<unsigned char*>(memory)] = bytes;
  *block = memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* block) {
  if (block == nullptr) return cudaSuccess;
  {
    const std::lock_guard lock(blocks_mutex);
    if (blocks.erase(static_cast<unsigned char*>(block)) == 0) return record(cudaErrorInvalidValue);
  }
  needle_sim::note_freed(block);
  std::free(block);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** block, std::size_t bytes, cudaStream_t) {
  return cudaMalloc(block, bytes);
}

cudaError_t cudaFreeAsync(void* block, cudaStream_t) { return cudaFree(block); }

cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  if (bytes == 0) return cudaSuccess;
  if (place(src, bytes) != (from_device ? Place::device : Place::host) ||
      place(dst, bytes) != (to_device ? Place::device : Place::host)) {
    return record(cudaErrorInvalidValue);
  }
  std::memcpy(dst, src, bytes);
  if (to_device) needle_sim::note_written(dst, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
