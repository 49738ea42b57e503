// Which devices there are, and why none can be used.
#include <pthread.h>

#include <atomic>

#include "cuda_backend.h"
#include "devices.h"
#include "launch.cuh"
#if NEEDLE_SIM
#include "sim/machine.h"
#endif

namespace NEEDLE_NS {
namespace {

std::atomic<bool> child_of_user{false};

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// From here on a fork leaves the child a driver that does not work: one that was never in use needs
// no watch, and a child of its process gives the same reason as the parent.
void watch_forks() {
  static const int watched = pthread_atfork(nullptr, nullptr, [] { child_of_user = true; });
  static_cast<void>(watched);
}

}  // namespace

bool forked() noexcept {
#if NEEDLE_SIM
  return child_of_user && !needle_sim::machine.survives_fork;
#else
  return child_of_user;
#endif
}

std::optional<std::string> unavailable_reason() {
  if (forked()) return kForked;
  int driver = 0, runtime = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "no CUDA driver is installed";
  }
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) {
    watch_forks();
    return std::nullopt;
  }
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
  return count < kMostDevices ? count : kMostDevices;
}

}  // namespace NEEDLE_NS
