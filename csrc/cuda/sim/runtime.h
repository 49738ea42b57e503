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

}  // namespace needle_sim
