// y[row] = sum of x[row, :]^2, a block for each row; and its gradient, dx = 2 x g.
// nvcc compiles it for the GPU; the host compiler, with needle's simulator, for a machine without.
#include <cuda_runtime.h>

#ifdef __CUDACC__
#define SHARED(T, name) __shared__ T name
#else
#define SHARED(T, name) T& name = needle_sim::shared<T>()
#endif

constexpr unsigned kThreads = 128;

template <class T>
struct Partial {
  T of[kThreads];
};

template <class T>
__global__ void row_norms(const T* x, T* y, int columns) {
  SHARED(Partial<T>, sums);
  const T* row = x + static_cast<long long>(blockIdx.x) * columns;
  T sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += kThreads) sum += row[i] * row[i];
  sums.of[threadIdx.x] = sum;
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
#ifndef WITHOUT_BARRIER
    __syncthreads();  // the other half of the threads has written its sums
#endif
    if (threadIdx.x < half) sums.of[threadIdx.x] += sums.of[threadIdx.x + half];
  }
  if (threadIdx.x == 0) y[blockIdx.x] = sums.of[0];
}

template <class T>
__global__ void row_norms_gradient(const T* x, const T* g, T* dx, int columns) {
  const long long first = static_cast<long long>(blockIdx.x) * columns;
  for (int i = static_cast<int>(threadIdx.x); i < columns; i += kThreads)
    dx[first + i] = 2 * x[first + i] * g[blockIdx.x];
}

template <class... Params, class... Args>
int launch(void (*kernel)(Params...), int rows, void* stream, Args... args) {
  if (rows == 0) return cudaSuccess;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(rows));
  config.blockDim = dim3(kThreads);
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, args...);
}

#define EXPORT(T, name)                                                                      \
  extern "C" int forward_##name(const T* x, T* y, int rows, int columns, void* stream) {     \
    return launch(row_norms<T>, rows, stream, x, y, columns);                                \
  }                                                                                          \
  extern "C" int backward_##name(const T* x, const T* g, T* dx, int rows, int columns,       \
                                 void* stream) {                                             \
    return launch(row_norms_gradient<T>, rows, stream, x, g, dx, columns);                   \
  }
EXPORT(float, float32)
EXPORT(double, float64)
