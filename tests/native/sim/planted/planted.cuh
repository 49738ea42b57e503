// Planted bugs: small kernels, each wrong in one way, and the same kernels right.
//
// PLANTED(name) { ... } is a host function that launches and says whether the result is right, in
// two versions: wrong, and right (`fixed`). A comment `BUG name: rule` stands at a line that the
// simulator's report must name, with the rule it must give; where the rule is `result`, nothing is
// reported and the result is wrong. The files compile with nvcc too: tests/gpu/planted.py.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __CUDACC__
#define SHARED(T, name, dims) __shared__ T name dims
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}
#else
#define SHARED(T, name, dims) \
  using name##_type = T dims; \
  name##_type& name = needle_sim::shared<name##_type>()
template <class T>
T* dynamic_shared() {
  return static_cast<T*>(needle_sim::dynamic_shared_memory());
}
#endif

namespace planted {

struct Case {
  const char* name;
  bool (*wrong)();
  bool (*right)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

struct Registered {
  Registered(const char* name, bool (*wrong)(), bool (*right)()) {
    cases().push_back({name, wrong, right});
  }
};

#define PLANTED(name)                                                                 \
  template <bool fixed>                                                               \
  bool name();                                                                        \
  static const planted::Registered registered_##name(#name, name<false>, name<true>); \
  template <bool fixed>                                                               \
  bool name()

inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(cudaGetErrorString(error));
}

inline void synchronize() { check(cudaStreamSynchronize(nullptr)); }

// An array on the device.
template <class T>
class Array {
 public:
  explicit Array(std::size_t count) : count_(count) {
    void* block = nullptr;
    check(cudaMalloc(&block, count * sizeof(T)));
    data_ = static_cast<T*>(block);
  }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    check(
        cudaMemcpyAsync(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice, nullptr));
    synchronize();
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { release(); }
  void release() {
    if (data_ != nullptr) cudaFree(data_);
    data_ = nullptr;
  }
  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> values(count_);
    check(
        cudaMemcpyAsync(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost, nullptr));
    synchronize();
    return values;
  }

 private:
  std::size_t count_;
  T* data_ = nullptr;
};

// f(0), f(1), ... as T.
template <class T = float, class F>
std::vector<T> values(int count, F&& f) {
  std::vector<T> all;
  for (int i = 0; i < count; ++i) all.push_back(static_cast<T>(f(i)));
  return all;
}

inline std::vector<float> ramp(int count) {
  return values(count, [](int i) { return i % 10; });
}

// Launches with `shared` bytes of dynamic shared memory and waits.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared, Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
  synchronize();
}

}  // namespace planted
