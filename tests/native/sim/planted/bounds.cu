// Accesses outside of arrays, misaligned ones, freed and foreign memory, launches that cannot be.
#include <cstdint>
#include <deque>

#include "planted.cuh"

namespace {

using namespace planted;

constexpr int kThreads = 64;
constexpr int kSize = 100;  // not a multiple of kThreads

std::vector<float> ones(int count) {
  return values(count, [](int) { return 1; });
}

template <bool right>
__global__ void twice(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (right ? i < n : i <= n) {
    const float value = i < n ? 2 * x[i] : 0;
    y[i] = value;  // BUG store_one_past_the_end: out of bounds
  }
}

PLANTED(store_one_past_the_end) {
  const Array<float> x(ones(kSize)), y(kSize);
  launch(twice<fixed>, 2, kThreads, 0, x.data(), y.data(), kSize);
  return y.host() == values(kSize, [](int) { return 2; });
}

template <bool guarded>
__global__ void negate(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (!guarded || i < n) x[i] = -x[i];  // BUG tail_not_guarded: out of bounds
}

PLANTED(tail_not_guarded) {
  const Array<float> x(ones(kSize));
  launch(negate<fixed>, 2, kThreads, 0, x.data(), kSize);
  return x.host() == values(kSize, [](int) { return -1; });
}

template <int reach_left, int reach_right>
__global__ void difference(const float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= n) return;
  const float right = i + 1 < n + reach_right
                          ? x[i + 1]  // BUG load_one_past_the_end: out of bounds
                          : 0;
  const float left = i > -reach_left ? x[i - 1]  // BUG index_below_zero: out of bounds
                                     : 0;
  y[i] = right - left;
}

template <int left, int right>
bool differences() {
  const Array<float> x(values(kSize, [](int i) { return i; })), y(kSize);
  launch(difference<left, right>, 2, kThreads, 0, x.data(), y.data(), kSize);
  return y.host() == values(kSize, [](int i) {
           return i == 0 ? 1 : i == kSize - 1 ? -(kSize - 2) : 2;
         });
}

PLANTED(load_one_past_the_end) { return differences<0, fixed ? 0 : 1>(); }
PLANTED(index_below_zero) { return differences<fixed ? 0 : 1, 0>(); }

__global__ void row_sums(const float* x, float* y, int columns, int pitch) {
  float sum = 0;
  for (int c = 0; c < columns; ++c) {
    sum += x[threadIdx.x * pitch + c];  // BUG pitch_too_wide: out of bounds
  }
  y[threadIdx.x] = sum;
}

PLANTED(pitch_too_wide) {
  constexpr int columns = 5;
  const Array<float> x(ones(kThreads * columns)), y(kThreads);
  launch(row_sums, 1, kThreads, 0, x.data(), y.data(), columns, fixed ? columns : 8);
  return y.host() == values(kThreads, [](int) { return columns; });
}

// One thread, so that neither a race nor an unwritten byte can be told first.
__global__ void copy_from(const float* x, float* y, int first) {
  y[0] = x[first];  // BUG far_past_the_end: out of bounds
}

PLANTED(far_past_the_end) {
  constexpr int count = 64;  // neighbours to reach
  std::deque<Array<float>> blocks;
  for (int i = 0; i < count; ++i) blocks.emplace_back(ones(kThreads));
  const Array<float> y(1);
  launch(copy_from, 1, 1, 0, blocks[count / 2].data(), y.data(), fixed ? 0 : 15 * kThreads);
  return y.host() == std::vector<float>{1};
}

// The wanted index fits into 32 bits, the product on the way to it does not.
template <class Index>
__global__ void pick(const float* x, float* y, Index step) {
  const Index i = static_cast<Index>(threadIdx.x) * step % kSize;
  y[threadIdx.x] = x[i];  // BUG index_overflows_32_bits: out of bounds
}

PLANTED(index_overflows_32_bits) {
  constexpr int step = 123456789;
  const Array<float> x(values(kSize, [](int i) { return i; })), y(kThreads);
  if constexpr (fixed) {
    launch(pick<std::int64_t>, 1, kThreads, 0, x.data(), y.data(), step);
  } else {
    launch(pick<int>, 1, kThreads, 0, x.data(), y.data(), step);
  }
  return y.host() == values(kThreads, [](int i) { return i * std::int64_t{step} % kSize; });
}

PLANTED(grid_too_small) {
  const Array<float> x(ones(kSize)), y(kSize);
  launch(twice<true>, fixed ? 2 : 1, kThreads, 0, x.data(), y.data(), kSize);
  return y.host() == values(kSize, [](int) { return 2; });  // BUG grid_too_small: result
}

template <bool right>
__global__ void outer(const float* x, float* y, int rows, int columns) {
  const int row = static_cast<int>(right ? blockIdx.y : blockIdx.x);
  const int column = static_cast<int>(right ? blockIdx.x : blockIdx.y);
  if (threadIdx.x == 0 && row < 2 * rows && column < columns) {
    y[row * columns + column] = x[row] * 3;  // BUG grid_axes_exchanged: out of bounds
  }
}

PLANTED(grid_axes_exchanged) {
  constexpr int rows = 3, columns = 7;
  const Array<float> x(values(rows * 4, [](int i) { return i; })), y(rows * columns);
  launch(outer<fixed>, dim3(columns, rows), 1, 0, x.data(), y.data(), rows, columns);
  return y.host() == values(rows * columns, [](int i) { return i / columns * 3; });
}

template <int size>
__global__ void reverse(const float* x, float* y) {
  SHARED(float, row, [size]);
  volatile int t = static_cast<int>(threadIdx.x);  // the compiler does not see how far it goes
  row[t] = x[t];                                   // BUG shared_array_too_small: out of bounds
  __syncthreads();
  y[t] = row[kThreads - 1 - t];
}

PLANTED(shared_array_too_small) {
  const Array<float> x(values(kThreads, [](int i) { return i; })), y(kThreads);
  launch(reverse < fixed ? kThreads : kThreads - 1 >, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return kThreads - 1 - i; });
}

__global__ void reverse_dynamic(const float* x, float* y) {
  float* row = dynamic_shared<float>();
  const int t = static_cast<int>(threadIdx.x);
  row[t] = x[t];  // BUG dynamic_shared_in_elements: out of bounds
  __syncthreads();
  y[t] = row[kThreads - 1 - t];
}

PLANTED(dynamic_shared_in_elements) {
  const Array<float> x(values(kThreads, [](int i) { return i; })), y(kThreads);
  launch(reverse_dynamic, 1, kThreads, fixed ? kThreads * sizeof(float) : kThreads, x.data(),
         y.data());
  return y.host() == values(kThreads, [](int i) { return kThreads - 1 - i; });
}

struct alignas(16) Four {
  float at[4];
};

template <bool guarded>
__global__ void copy_fours(const float* x, float* y, int n) {
  const int first = static_cast<int>(threadIdx.x) * 4;
  if (guarded ? first + 4 <= n : first < n) {
    const auto* four = reinterpret_cast<const Four*>(x + first);
    *reinterpret_cast<Four*>(y + first) = *four;  // BUG vector_at_the_tail: out of bounds
  } else {
    for (int i = first; i < n; ++i) y[i] = x[i];
  }
}

PLANTED(vector_at_the_tail) {
  constexpr int n = 4 * kThreads - 2;
  const Array<float> x(ones(n)), y(n);
  launch(copy_fours<fixed>, 1, kThreads, 0, x.data(), y.data(), n);
  return y.host() == ones(n);
}

__global__ void first_of_four(const float* x, float* y, int shift) {
  const float* const at = x + threadIdx.x * 4 + shift;
  const Four four = *reinterpret_cast<const Four*>(at);  // BUG misaligned_vector: misaligned
  y[threadIdx.x] = four.at[0] + four.at[3];
}

PLANTED(misaligned_vector) {
  const Array<float> x(ones(4 * kThreads + 4)), y(kThreads);
  launch(first_of_four, 1, kThreads, 0, x.data(), y.data(), fixed ? 4 : 1);
  return y.host() == values(kThreads, [](int) { return 2; });
}

// The array holds n elements of T; another type's view of it would hold fewer.
template <class T>
__global__ void sum_of(const void* x, float* y, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    const T element = static_cast<const T*>(x)[i];  // BUG view_of_a_wider_type: out of bounds
    sum += static_cast<float>(element);
  }
  y[0] = sum;
}

PLANTED(view_of_a_wider_type) {
  const Array<std::int32_t> x(values<std::int32_t>(kSize, [](int) { return 1; }));
  const Array<float> y(1);
  launch(sum_of<std::conditional_t<fixed, std::int32_t, std::int64_t>>, 1, 1, 0, x.data(), y.data(),
         kSize);
  return y.host()[0] == kSize;
}

__global__ void fill(float* y, float value) {
  y[threadIdx.x] = value;  // BUG host_pointer: out of bounds
}

PLANTED(host_pointer) {
  std::vector<float> host(kThreads);
  const Array<float> device(kThreads);
  launch(fill, 1, kThreads, 0, fixed ? device.data() : host.data(), 2.0f);
  return device.host() == values(kThreads, [](int) { return 2; });
}

// A global variable without __device__ is the host's; constants come with the kernel.
float host_weights[kThreads];

__global__ void weigh(const float* weights, float* y) {
  static constexpr float signs[] = {1, -1, 1, 1};
  y[threadIdx.x] =
      signs[threadIdx.x % 4] * weights[threadIdx.x];  // BUG variable_of_the_host: out of bounds
}

PLANTED(variable_of_the_host) {
  const Array<float> weights(ones(kThreads)), y(kThreads);
  launch(weigh, 1, kThreads, 0, fixed ? weights.data() : host_weights, y.data());
  return y.host() == values(kThreads, [](int i) { return i % 4 == 1 ? -1 : 1; });
}

__global__ void add_to(float* total, const float* y) {
  total[0] += y[0];  // BUG result_in_a_variable_of_the_host: out of bounds
}

PLANTED(result_in_a_variable_of_the_host) {
  const Array<float> total(ones(1)), y(ones(1));
  launch(add_to, 1, 1, 0, fixed ? total.data() : host_weights, y.data());
  return total.host()[0] == 2;
}

__global__ void copy_one(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];  // BUG use_after_free: out of bounds
}

PLANTED(use_after_free) {
  Array<float> x(ones(kThreads));
  const Array<float> y(kThreads);
  if constexpr (!fixed) {
    float* const kept = x.data();
    x.release();
    launch(copy_one, 1, kThreads, 0, kept, y.data());
  } else {
    launch(copy_one, 1, kThreads, 0, x.data(), y.data());
  }
  return y.host() == ones(kThreads);
}

PLANTED(double_free) {
  void* block = nullptr;
  check(cudaMalloc(&block, 64));
  check(cudaFree(block));
  if constexpr (!fixed) check(cudaFree(block));  // BUG double_free: invalid argument
  return true;
}

PLANTED(too_many_threads) {
  const Array<float> y(2048);
  // BUG too_many_threads: invalid configuration
  launch(fill, 1, fixed ? 1024 : 2048, 0, y.data(), 2.0f);
  return true;
}

PLANTED(grid_of_nothing) {
  const Array<float> y(kThreads);
  const int n = fixed ? 1 : 0;
  // BUG grid_of_nothing: invalid configuration
  launch(fill, (n + 31) / 32, kThreads, 0, y.data(), 2.0f);
  return true;
}

}  // namespace
