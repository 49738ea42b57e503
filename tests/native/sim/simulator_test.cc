// The simulator itself: right kernels run right under every seed, and planted bugs in small kernels
// are found.
#include <cuda_runtime.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "../../../csrc/cuda/launch.cuh"
#include "../../../csrc/cuda/sim/scheduler.h"
#include "../check.h"

namespace {

using NEEDLE_NS::launch;
using NEEDLE_NS::shared;
using NEEDLE_NS::Stream;

constexpr Stream stream{nullptr, "test", true};
constexpr int kSeeds = 20;
#if defined(__SANITIZE_ADDRESS__)  // it ends the process at a stray store
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

struct Buffer {
  float* data = nullptr;
  std::size_t count;
  explicit Buffer(std::size_t n) : count(n) {
    void* block = nullptr;
    CHECK(cudaMalloc(&block, n * sizeof(float)) == cudaSuccess);
    data = static_cast<float*>(block);
  }
  ~Buffer() { cudaFree(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::vector<float> host() const {
    std::vector<float> out(count);
    CHECK(cudaMemcpyAsync(out.data(), data, count * sizeof(float), cudaMemcpyDeviceToHost,
                          nullptr) == cudaSuccess);
    return out;
  }
};

template <class F>
bool holds_for_every_seed(F&& f) {
  bool all = true;
  for (unsigned s = 1; s <= kSeeds; ++s) {
    needle_sim::set_seed(s);
    all = f() && all;
  }
  return all;
}

// The text of the error that f raises, "" if none.
template <class F>
std::string report(F&& f) {
  try {
    f();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::fprintf(stderr, "'%s' does not hold '%s'\n", text.c_str(), part.c_str());
  return false;
}

struct Row {
  float at[64];
};

// out[i] = the value of the mirrored thread, through shared memory.
template <bool barrier>
__global__ void mirror(float* out) {
  Row& row = shared<Row>();
  const unsigned t = threadIdx.x;
  row.at[t] = static_cast<float>(t);
  if constexpr (barrier) __syncthreads();
  out[blockIdx.x * 64 + t] = row.at[63 - t];
}

bool is_mirror(const std::vector<float>& v) {
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (v[i] != static_cast<float>(63 - i % 64)) return false;
  }
  return true;
}

// Writes round after round; without the second barrier a fast thread overwrites what a slow one has
// yet to read.
template <bool second_barrier>
__global__ void rounds(float* out) {
  Row& row = shared<Row>();
  const unsigned t = threadIdx.x;
  float sum = 0;
  for (unsigned r = 0; r < 4; ++r) {
    row.at[t] = static_cast<float>(r);
    __syncthreads();
    sum += row.at[(t + 1) % 64];
    if constexpr (second_barrier) __syncthreads();
  }
  out[t] = sum;
}

__global__ void store_past_shared_end(float* out) {
  Row& row = shared<Row>();
  row.at[threadIdx.x] = 1;
  const volatile unsigned next = threadIdx.x + 1;
  reinterpret_cast<volatile float*>(&row)[next] = 2;
  out[threadIdx.x] = 0;
}

// Reads shared memory that no thread of this block wrote: another block's leavings must not show.
__global__ void stale(float* out) {
  Row& row = shared<Row>();
  const unsigned t = threadIdx.x;
  out[blockIdx.x * 64 + t] = row.at[t];
  row.at[t] = 1;
}

__global__ void half_at_barrier() {
  if (threadIdx.x < 32) __syncthreads();
}

__global__ void two_barriers() {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void partial_shuffle(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(~0u, 1.0f, 1);
  __syncthreads();
}

__global__ void shuffle_from_absent(float* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);
}

__global__ void shuffle_outside_mask(float* out) { out[threadIdx.x] = __shfl_sync(0x1u, 1.0f, 0); }

__global__ void lanes(float* out) {
  const int t = static_cast<int>(threadIdx.x);
  out[0 * 64 + t] = static_cast<float>(__shfl_sync(~0u, t, 5));
  out[1 * 64 + t] = static_cast<float>(__shfl_up_sync(~0u, t, 1));
  out[2 * 64 + t] = static_cast<float>(__shfl_down_sync(~0u, t, 2, 8));
  out[3 * 64 + t] = static_cast<float>(__shfl_xor_sync(~0u, t, 16));
  out[4 * 64 + t] = static_cast<float>(__ballot_sync(~0u, t % 32 < 3));
  out[5 * 64 + t] = static_cast<float>(__any_sync(~0u, t == 40));
  out[6 * 64 + t] = static_cast<float>(__all_sync(~0u, t >= 32));
  __syncwarp();
}

// Lanes that have exited are not waited for.
__global__ void shuffle_after_exit(float* out) {
  if (threadIdx.x >= 8) return;
  out[threadIdx.x] = __shfl_xor_sync(~0u, static_cast<float>(threadIdx.x), 1);
}

__global__ void count(float* total) { atomicAdd(total, 1.0f); }

__global__ void dynamic(float* out) {
  auto* row = static_cast<float*>(needle_sim::dynamic_shared_memory());
  row[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = row[blockDim.x - 1 - threadIdx.x];
}

__global__ void coordinates(float* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1;
}

__global__ void order(float* out, float* next) { out[threadIdx.x] = atomicAdd(next, 1.0f); }

void test_barriers() {
  Buffer out(3 * 64);
  const auto mirrored = [&]<bool barrier>() {
    launch(mirror<barrier>, 3, 64, 0, stream, out.data);
    return is_mirror(out.host());
  };
  CHECK(holds_for_every_seed([&] { return mirrored.operator()<true>(); }));
  for (unsigned s = 1; s <= kSeeds; ++s) {
    needle_sim::set_seed(s);
    CHECK(!mirrored.operator()<false>());
  }
  const auto round_sums = [&]<bool barrier>() {
    launch(rounds<barrier>, 1, 64, 0, stream, out.data);
    const std::vector<float> v = out.host();
    return std::all_of(v.begin(), v.begin() + 64, [](float x) { return x == 6; });
  };
  CHECK(holds_for_every_seed([&] { return round_sums.operator()<true>(); }));
  CHECK(!holds_for_every_seed([&] { return round_sums.operator()<false>(); }));
}

void test_shared_memory() {
  Buffer out(3 * 64);
  if (!kAddressSanitizer) {
    CHECK(has(report([&] { launch(store_past_shared_end, 1, 64, 0, stream, out.data); }),
              "[test] the CUDA kernel or call failed, got error=shared memory written 0 bytes "
              "past the end of an object of 256 bytes"));
  }
  launch(stale, 3, 64, 0, stream, out.data);
  for (float v : out.host()) CHECK(v != v);
  launch(dynamic, 1, 64, 64 * sizeof(float), stream, out.data);
  CHECK(out.host()[0] == 63 && out.host()[63] == 0);
}

void test_divergence() {
  Buffer out(64);
  CHECK(holds_for_every_seed([&] {
    return has(report([] { launch(half_at_barrier, 1, 64, 0, stream); }),
               "32 threads, (32,0,0) first, have exited") &&
           has(report([] { launch(half_at_barrier, 1, 64, 0, stream); }),
               "wait at the __syncthreads in simulator_test.cc:");
  }));
  CHECK(holds_for_every_seed([&] {
    return has(report([] { launch(two_barriers, 1, 64, 0, stream); }), "divergent barrier: 32 ");
  }));
  CHECK(has(report([&] { launch(partial_shuffle, 1, 32, 0, stream, out.data); }),
            "wait at the shuffle in"));
  CHECK(has(report([&] { launch(shuffle_from_absent, 1, 32, 0, stream, out.data); }),
            "reads lane 20, which takes no part"));
  CHECK(has(report([&] { launch(shuffle_outside_mask, 1, 32, 0, stream, out.data); }),
            "is not in its own mask"));
  // After a failed launch the simulator works as before.
  launch(count, 1, 1, 0, stream, out.data);
  launch(mirror<true>, 1, 64, 0, stream, out.data);
  CHECK(is_mirror(out.host()));
}

void test_lanes() {
  Buffer out(7 * 64);
  const bool right = holds_for_every_seed([&] {
    launch(lanes, 1, 64, 0, stream, out.data);
    const std::vector<float> v = out.host();
    bool ok = true;
    for (int t = 0; t < 64; ++t) {
      const auto i = static_cast<std::size_t>(t);
      const int warp = t / 32 * 32;
      ok = ok && v[i] == static_cast<float>(warp + 5) &&
           v[64 + i] == static_cast<float>(t % 32 == 0 ? t : t - 1) &&
           v[128 + i] == static_cast<float>(t % 8 < 6 ? t + 2 : t) &&
           v[192 + i] == static_cast<float>(t ^ 16) && v[256 + i] == 7.0f &&
           v[320 + i] == (t >= 32 ? 1.0f : 0.0f) && v[384 + i] == (t >= 32 ? 1.0f : 0.0f);
    }
    return ok;
  });
  CHECK(right);
  CHECK(holds_for_every_seed([&] {
    launch(shuffle_after_exit, 1, 32, 0, stream, out.data);
    const std::vector<float> v = out.host();
    return v[0] == 1 && v[1] == 0 && v[6] == 7 && v[7] == 6;
  }));
}

void test_launches() {
  Buffer out(2 * 3 * 4 * 24), total(1);
  launch(coordinates, dim3(2, 3, 4), dim3(4, 3, 2), 0, stream, out.data);
  for (float v : out.host()) CHECK(v == 1);
  const float zero = 0;
  CHECK(cudaMemcpyAsync(total.data, &zero, sizeof zero, cudaMemcpyHostToDevice, nullptr) ==
        cudaSuccess);
  launch(count, 100, 1000, 0, stream, total.data);
  CHECK(total.host()[0] == 100000);
  CHECK(has(report([&] { launch(count, 1, 1025, 0, stream, total.data); }), "invalid config"));
  CHECK(has(report([&] { launch(count, 0, 1, 0, stream, total.data); }), "invalid config"));
  CHECK(has(report([&] { launch(count, dim3(1, 65536), 1, 0, stream, total.data); }),
            "invalid config"));
  std::set<std::vector<float>> orders;
  holds_for_every_seed([&] {
    CHECK(cudaMemcpyAsync(total.data, &zero, sizeof zero, cudaMemcpyHostToDevice, nullptr) ==
          cudaSuccess);
    launch(order, 1, 64, 0, stream, out.data, total.data);
    orders.insert(out.host());
    return true;
  });
  CHECK(orders.size() > kSeeds / 2);
}

__global__ void read_at(const float* x, float* y, std::size_t i) { y[0] = x[i]; }

// Whether a process that reads element i of 64 comes back from it.
bool survives(std::size_t i) {
  const pid_t child = fork();
  if (child == 0) {
    Buffer x(64), y(1);
    launch(read_at, 1, 1, 0, stream, x.data, y.data, i);
    _exit(0);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Blocks end where a page does, and nothing lies behind them.
void test_fences() {
  CHECK(survives(63));
  for (const std::size_t i : {64, 127, 1087}) CHECK(!survives(i));
}

// A process has 65,530 mappings on Linux: many blocks leave some for others.
void test_many_blocks() {
  std::vector<void*> blocks(40'000);
  for (void*& block : blocks) CHECK(cudaMalloc(&block, 4) == cudaSuccess);
  void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  munmap(page, 4096);
  for (void* block : blocks) CHECK(cudaFree(block) == cudaSuccess);
  CHECK(!survives(64));
}

void test_memory() {
  Buffer device(16);
  float host[16] = {};
  for (float v : device.host()) CHECK(v != v);  // fresh memory is poisoned
  const auto copy = [&](void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind) {
    const cudaError_t error = cudaMemcpyAsync(dst, src, bytes, kind, nullptr);
    cudaGetLastError();
    return error;
  };
  CHECK(copy(device.data, host, sizeof host, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(copy(host, device.data, sizeof host + 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(host, host, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(device.data, host, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaFree(host) == cudaErrorInvalidValue);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  cudaGetLastError();
}

}  // namespace

int main() {
  test_barriers();
  test_shared_memory();
  test_divergence();
  test_lanes();
  test_launches();
  test_memory();
  test_fences();
  test_many_blocks();
  return needle_test::summary("simulator");
}
