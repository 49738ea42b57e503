// What the simulator's parts offer each other: errors of the last call, and the shared memory of
// the running block.
#pragma once

#include <cuda_runtime.h>

#include <string>

namespace needle_sim {

constexpr std::size_t kSharedMemory = 48 * 1024;  // for static and for dynamic objects each

// Remembers an error for cudaGetLastError, with a report for cudaGetErrorString; returns it.
cudaError_t record(cudaError_t error, const std::string& report = "");

// Gives up the running launch from inside a thread of it.
[[noreturn]] void fail(const std::string& what);

void open_shared_memory(std::size_t dynamic_bytes);  // at a launch
void begin_shared_memory();                          // at a block: everything is poisoned again
std::string check_shared_memory();  // after a block: a report of stray writes, or ""

struct SharedObject {
  const void* start;
  std::size_t bytes, offset;  // in the arena
};
constexpr std::size_t kSharedArena = 2 * kSharedMemory + 4096;
bool in_shared_memory(const void* address);
SharedObject shared_object_at(const void* address);  // of no bytes if there is none

}  // namespace needle_sim
