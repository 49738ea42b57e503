// The simulator's runtime calls: device memory, copies, errors. Everything is synchronous.
//
// Device memory is host memory in disguise; the simulator knows its blocks, so that a copy in the
// wrong direction or past a block's end is an error here as it is on a GPU.
#include "runtime.h"

#include <cuda_runtime.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "checker.h"
#include "machine.h"

namespace needle_sim {
Machine machine;
}

namespace {

constexpr std::size_t kAlignment = 256;

// A block ends where a page does, as near as its alignment allows, before pages that nobody may
// touch: who leaves it by more than that, and by less than its own size, ends the process.
struct Mapping {
  std::size_t before, held, all;  // bytes before the block; with it; with the fence behind it
};
Mapping mapping_of(std::size_t bytes) {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto pages = [](std::size_t n) { return (n + page - 1) / page * page; };
  const std::size_t held = pages(bytes);
  return {(held - bytes) / kAlignment * kAlignment, held,
          held + pages(std::min<std::size_t>(bytes, 1 << 20))};
}

// Systems count a process's mappings (Linux: 65,530), and a fence costs two: blocks beyond so many
// have none, and the process keeps the rest for its own memory.
constexpr std::size_t kFences = 8192;

unsigned char* map_block(std::size_t bytes, bool fenced) {
  const Mapping mapping = mapping_of(bytes);
  void* memory =
      mmap(nullptr, mapping.all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* start = static_cast<unsigned char*>(memory);
  if (fenced) mprotect(start + mapping.held, mapping.all - mapping.held, PROT_NONE);
  std::memset(start, 0xff, mapping.held);
  return start + mapping.before;
}

void unmap_block(unsigned char* block, std::size_t bytes) {
  const Mapping mapping = mapping_of(bytes);
  munmap(block - mapping.before, mapping.all);
}

std::mutex blocks_mutex;
struct Block {
  std::size_t bytes;
  int device;
};
std::map<const unsigned char*, Block> blocks;  // by their start
std::map<int, std::size_t> used;               // bytes of each device that are handed out
thread_local int current_device = 0;
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
  const auto& [start_of, block] = *--after;
  if (start >= start_of + block.bytes) return Place::host;
  return start + bytes <= start_of + block.bytes ? Place::device : Place::astray;
}

bool fence_left() {
  const std::lock_guard lock(blocks_mutex);
  return blocks.size() < kFences;
}

// The device of an address; -1 for the host's.
int device_of(const void* address) {
  if (place(address, 1) != Place::device) return -1;
  const std::lock_guard lock(blocks_mutex);
  return std::prev(blocks.upper_bound(static_cast<const unsigned char*>(address)))->second.device;
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
    case cudaErrorNotReady:
      return "not ready";
    case cudaErrorLaunchFailure:
      return last_report.c_str();
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
  }
  return "unknown error";
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = needle_sim::machine.driver;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = needle_sim::machine.runtime;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = needle_sim::machine.devices;
  if (needle_sim::machine.driver < needle_sim::machine.runtime)
    return record(cudaErrorInsufficientDriver);
  return record(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= needle_sim::machine.devices) return record(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int) {
  *found = {"simulated CUDA device", 0, 0, 1};
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* address) {
  const int device = device_of(address);
  *found = {device < 0 ? cudaMemoryTypeUnregistered : cudaMemoryTypeDevice, device};
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  const std::lock_guard lock(blocks_mutex);
  *total_bytes = needle_sim::machine.memory;
  *free_bytes = *total_bytes - std::min(*total_bytes, used[current_device]);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** block, std::size_t bytes) {
  *block = nullptr;
  if (bytes == 0) return cudaSuccess;
  std::size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  if (bytes > free_bytes) return record(cudaErrorMemoryAllocation);
  unsigned char* const memory = map_block(bytes, fence_left());
  if (memory == nullptr) return record(cudaErrorMemoryAllocation);
  if (!needle_sim::note_allocated(memory, bytes)) {
    unmap_block(memory, bytes);
    return record(cudaErrorMemoryAllocation);
  }
  const std::lock_guard lock(blocks_mutex);
  blocks[memory] = {bytes, current_device};
  used[current_device] += bytes;
  *block = memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* block) {
  if (block == nullptr) return cudaSuccess;
  std::size_t bytes = 0;
  {
    const std::lock_guard lock(blocks_mutex);
    const auto at = blocks.find(static_cast<unsigned char*>(block));
    if (at == blocks.end()) return record(cudaErrorInvalidValue);
    bytes = at->second.bytes;
    used[at->second.device] -= bytes;
    blocks.erase(at);
  }
  needle_sim::note_freed(block);
  unmap_block(static_cast<unsigned char*>(block), bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  if (bytes == 0) return cudaSuccess;
  if (place(src, bytes) != (from_device ? Place::device : Place::host) ||
      place(dst, bytes) != (to_device ? Place::device : Place::host)) {
    return record(cudaErrorInvalidValue);
  }
  return needle_sim::queue(stream, [=] {
    std::memcpy(dst, src, bytes);
    if (to_device) needle_sim::note_written(dst, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyPeerAsync(void* dst, int dst_device, const void* src, int src_device,
                                std::size_t bytes, cudaStream_t stream) {
  if (device_of(dst) != dst_device || device_of(src) != src_device)
    return record(cudaErrorInvalidValue);
  return cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t simForgetAsync(void* at, std::size_t bytes, cudaStream_t stream) {
  if (place(at, bytes) != Place::device) return record(cudaErrorInvalidValue);
  return needle_sim::queue(stream, [=] {
    needle_sim::note_unwritten(at, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream) {
  if (place(dst, bytes) != Place::device) return record(cudaErrorInvalidValue);
  return needle_sim::queue(stream, [=] {
    std::memset(dst, value, bytes);
    needle_sim::note_written(dst, bytes);
    return cudaSuccess;
  });
}
