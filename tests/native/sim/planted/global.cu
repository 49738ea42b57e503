// Races in global memory: within a block, and between blocks of a launch.
#include "planted.cuh"

namespace {

using namespace planted;

constexpr int kThreads = 64;
constexpr int kBlocks = 4;
constexpr int kAll = kThreads * kBlocks;

template <bool atomic>
__global__ void count_digits(const float* x, int* counts) {
  const int digit = static_cast<int>(x[blockIdx.x * kThreads + threadIdx.x]);
  if constexpr (atomic) {
    atomicAdd(&counts[digit], 1);
  } else {
    counts[digit] += 1;  // BUG histogram_without_atomics: race
  }
}

PLANTED(histogram_without_atomics) {
  const Array<float> x(ramp(kAll));
  const Array<int> counts(values<int>(10, [](int) { return 0; }));
  launch(count_digits<fixed>, kBlocks, kThreads, 0, x.data(), counts.data());
  return counts.host() == values<int>(10, [](int i) { return i < 6 ? 26 : 25; });
}

template <bool own>
__global__ void first_of_block(const float* x, float* y) {
  const unsigned at = own ? blockIdx.x : blockIdx.x / 2;
  if (threadIdx.x == 0) y[at] = x[blockIdx.x * kThreads];  // BUG two_blocks_one_element: race
}

PLANTED(two_blocks_one_element) {
  const Array<float> x(values(kAll, [](int i) { return i; }));
  const Array<float> y(values(kBlocks, [](int) { return 0; }));
  launch(first_of_block<fixed>, kBlocks, kThreads, 0, x.data(), y.data());
  return y.host() == values(kBlocks, [](int i) { return i * kThreads; });
}

__global__ void partial_sums(const float* x, float* partial) {
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (int i = 0; i < kThreads; ++i) sum += x[blockIdx.x * kThreads + i];
  partial[blockIdx.x] = sum;
}

__global__ void total_of(const float* partial, float* y) {
  float sum = 0;
  for (int b = 0; b < kBlocks; ++b) sum += partial[b];
  y[0] = sum;
}

__global__ void sum_in_one_launch(const float* x, float* partial, float* y) {
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (int i = 0; i < kThreads; ++i) sum += x[blockIdx.x * kThreads + i];
  partial[blockIdx.x] = sum;
  if (blockIdx.x != kBlocks - 1) return;
  sum = 0;
  for (int b = 0; b < kBlocks; ++b) {
    sum += partial[b];  // BUG scratch_of_other_blocks: race
  }
  y[0] = sum;
}

PLANTED(scratch_of_other_blocks) {
  const Array<float> x(values(kAll, [](int) { return 1; })), y(1);
  const Array<float> partial(values(kBlocks, [](int) { return 0; }));
  if constexpr (fixed) {
    launch(partial_sums, kBlocks, kThreads, 0, x.data(), partial.data());
    launch(total_of, 1, 1, 0, partial.data(), y.data());
  } else {
    launch(sum_in_one_launch, kBlocks, kThreads, 0, x.data(), partial.data(), y.data());
  }
  return y.host()[0] == kAll;
}

// The block that comes last adds up what all have left.
template <bool fence, bool reset>
__global__ void sum_by_last_block(const float* x, float* partial, unsigned* arrived, float* y) {
  SHARED(int, last, [1]);
  if (threadIdx.x == 0) {
    float sum = 0;
    for (int i = 0; i < kThreads; ++i) sum += x[blockIdx.x * kThreads + i];
    partial[blockIdx.x] = sum;
    if constexpr (fence) __threadfence();
    last[0] = atomicAdd(arrived, 1u) == kBlocks - 1;  // BUG last_block_counter_not_reset: result
  }
  __syncthreads();
  if (last[0] == 0 || threadIdx.x != 0) return;
  float sum = 0;
  for (int b = 0; b < kBlocks; ++b) {
    sum += partial[b];  // BUG last_block_without_fence: race
  }
  y[0] = sum;
  if constexpr (reset) *arrived = 0;
}

template <bool fence, bool reset>
bool sum_twice() {
  bool right = true;
  const Array<float> partial(kBlocks);
  const Array<unsigned> arrived(std::vector<unsigned>{0});
  for (int round = 1; round <= 2; ++round) {
    const Array<float> x(values(kAll, [&](int) { return round; }));
    const Array<float> y(std::vector<float>{0});
    launch(sum_by_last_block<fence, reset>, kBlocks, kThreads, 0, x.data(), partial.data(),
           arrived.data(), y.data());
    right = right && y.host()[0] == static_cast<float>(round * kAll);
  }
  return right;
}

PLANTED(last_block_without_fence) { return sum_twice<fixed, true>(); }
PLANTED(last_block_counter_not_reset) { return sum_twice<true, fixed>(); }

// A fence orders what its thread knows of: what it wrote before, and its block before a barrier.
enum class Fence { before_the_write, of_one_thread, of_all, behind_the_barrier };

template <Fence fence>
__global__ void totals_by_last_block(float* part, float* own, unsigned* arrived, float* y) {
  SHARED(int, last, [1]);
  const unsigned t = threadIdx.x, at = blockIdx.x * kThreads + t;
  if constexpr (fence == Fence::before_the_write) __threadfence();
  part[at] = 1;
  if constexpr (fence == Fence::of_all) __threadfence();
  if constexpr (fence == Fence::of_one_thread) {
    if (t == 0) __threadfence();
  }
  own[at] = 2;  // which no other block reads
  __syncthreads();
  if (t == 0) {
    if constexpr (fence == Fence::behind_the_barrier) __threadfence();
    last[0] = atomicAdd(arrived, 1u) == kBlocks - 1;
  }
  __syncthreads();
  if (last[0] == 0 || t != 0) return;
  float sum = 0;
  for (int i = 0; i < kAll; ++i) {
    if constexpr (fence == Fence::of_one_thread) {
      sum += part[i];  // BUG fence_of_another_thread: race
    } else {
      sum += part[i];  // BUG fence_before_the_write: race
    }
  }
  y[0] = sum;
}

template <Fence fence>
bool totals() {
  const Array<float> part(kAll), own(kAll), y(1);
  const Array<unsigned> arrived(std::vector<unsigned>{0});
  launch(totals_by_last_block<fence>, kBlocks, kThreads, 0, part.data(), own.data(), arrived.data(),
         y.data());
  return y.host()[0] == kAll;
}

PLANTED(fence_before_the_write) {
  return totals<fixed ? Fence::of_all : Fence::before_the_write>();
}
PLANTED(fence_of_another_thread) {
  return totals<fixed ? Fence::behind_the_barrier : Fence::of_one_thread>();
}

__global__ void neighbours(const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i > 0 && i < kAll - 1) {
    const float sum = x[i - 1] + x[i + 1];
    y[i] = sum;  // BUG stencil_in_place: race
  }
}

PLANTED(stencil_in_place) {
  const Array<float> x(values(kAll, [](int i) { return i; }));
  const Array<float> y(values(kAll, [](int i) { return i; }));
  launch(neighbours, kBlocks, kThreads, 0, x.data(), fixed ? y.data() : x.data());
  return (fixed ? y : x).host() ==
         values(kAll, [](int i) { return i % (kAll - 1) == 0 ? i : 2 * i; });
}

template <bool grid>
__global__ void square(const float* x, float* y) {
  const int step = static_cast<int>(grid ? blockDim.x * gridDim.x : blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < 2 * kAll; i += step) {
    y[i] = x[i] * x[i];  // BUG loop_with_the_block_s_stride: race
  }
}

PLANTED(loop_with_the_block_s_stride) {
  const Array<float> x(ramp(2 * kAll)), y(2 * kAll);
  launch(square<fixed>, kBlocks, kThreads, 0, x.data(), y.data());
  return y.host() == values(2 * kAll, [](int i) { return i % 10 * (i % 10); });
}

template <bool barrier>
__global__ void shift(float* x) {
  const float next = x[threadIdx.x + 1];
  if constexpr (barrier) __syncthreads();
  x[threadIdx.x] = next;  // BUG shift_in_place: race
}

PLANTED(shift_in_place) {
  const Array<float> x(values(kThreads + 1, [](int i) { return i; }));
  launch(shift<fixed>, 1, kThreads, 0, x.data());
  return x.host() == values(kThreads + 1, [](int i) { return i < kThreads ? i + 1 : i; });
}

template <bool barrier>
__global__ void share_of_positive(const float* x, unsigned* positive, float* y) {
  if (x[threadIdx.x] > 0) atomicAdd(positive, 1u);
  if constexpr (barrier) __syncthreads();
  y[threadIdx.x] =
      x[threadIdx.x] / static_cast<float>(*positive);  // BUG counter_read_too_early: race
}

PLANTED(counter_read_too_early) {
  const Array<float> x(values(kThreads, [](int) { return 1; })), y(kThreads);
  const Array<unsigned> positive(std::vector<unsigned>{0});
  launch(share_of_positive<fixed>, 1, kThreads, 0, x.data(), positive.data(), y.data());
  return y.host() == values(kThreads, [](int) { return 1.0f / kThreads; });
}

// Neighbouring bytes belong to different threads: no race; the same byte does.
template <bool own>
__global__ void mask_of(const float* x, unsigned char* mask) {
  const unsigned t = threadIdx.x;
  mask[own ? t : t / 2] = x[t] > 0;  // BUG two_threads_one_byte: race
}

PLANTED(two_threads_one_byte) {
  const Array<float> x(ramp(kThreads));
  const Array<unsigned char> mask(values<unsigned char>(kThreads, [](int) { return 0; }));
  launch(mask_of<fixed>, 1, kThreads, 0, x.data(), mask.data());
  return mask.host() == values<unsigned char>(kThreads, [](int i) { return i % 10 > 0; });
}

}  // namespace
