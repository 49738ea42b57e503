// Memory that holds what nobody, or somebody else, has put there.
#include "planted.cuh"

namespace {

using namespace planted;

constexpr int kThreads = 64;

template <bool zeroed>
__global__ void count_digits(const float* x, int* counts) {
  SHARED(int, bins, [10]);
  const int t = static_cast<int>(threadIdx.x);
  if (zeroed && t < 10) bins[t] = 0;
  __syncthreads();
  atomicAdd(&bins[static_cast<int>(x[t])], 1);  // BUG shared_bins_not_zeroed: never written
  __syncthreads();
  if (t < 10) counts[t] = bins[t];
}

PLANTED(shared_bins_not_zeroed) {
  const Array<float> x(ramp(kThreads));
  const Array<int> counts(10);
  launch(count_digits<fixed>, 1, kThreads, 0, x.data(), counts.data());
  return counts.host() == values<int>(10, [](int i) { return i < 4 ? 7 : 6; });
}

// Sums x in tiles of kThreads; the last tile is not full.
template <bool cleared>
__global__ void sum_in_tiles(const float* x, float* y, int n) {
  SHARED(float, tile, [kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int first = 0; first < n; first += kThreads) {
    if (first + t < n) {
      tile[t] = x[first + t];
    } else if (cleared) {
      tile[t] = 0;
    }
    __syncthreads();
    if (t == 0) {
      for (int i = 0; i < kThreads; ++i) sum += tile[i];  // BUG stale_tile: result
    }
    __syncthreads();
  }
  if (t == 0) y[0] = sum;
}

PLANTED(stale_tile) {
  const Array<float> x(values(100, [](int) { return 1; })), y(1);
  launch(sum_in_tiles<fixed>, 1, kThreads, 0, x.data(), y.data(), 100);
  return y.host()[0] == 100;
}

// The first tile is not full either: nothing stale, but nothing at all.
template <bool cleared>
__global__ void sum_of_one_tile(const float* x, float* y, int n) {
  SHARED(float, tile, [kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  if (t < n) {
    tile[t] = x[t];
  } else if (cleared) {
    tile[t] = 0;
  }
  __syncthreads();
  if (t != 0) return;
  float sum = 0;
  for (int i = 0; i < kThreads; ++i) sum += tile[i];  // BUG tile_not_filled: never written
  y[0] = sum;
}

PLANTED(tile_not_filled) {
  const Array<float> x(values(50, [](int) { return 1; })), y(1);
  launch(sum_of_one_tile<fixed>, 1, kThreads, 0, x.data(), y.data(), 50);
  return y.host()[0] == 50;
}

// Shared memory does not outlive its block.
template <bool first_writes>
__global__ void running_block(float* y) {
  SHARED(float, kept, [1]);
  if (threadIdx.x != 0) return;
  if (first_writes || blockIdx.x == 0) kept[0] = 1;
  y[blockIdx.x] = kept[0];  // BUG shared_of_another_block: never written
}

PLANTED(shared_of_another_block) {
  const Array<float> y(3);
  launch(running_block<fixed>, 3, kThreads, 0, y.data());
  return y.host() == values(3, [](int) { return 1; });
}

template <bool halo>
__global__ void smooth(const float* x, float* y) {
  SHARED(float, near, [kThreads + 2]);
  const int t = static_cast<int>(threadIdx.x);
  near[t + 1] = x[t];
  if (halo && t < 2) near[t * (kThreads + 1)] = 0;
  __syncthreads();
  y[t] = near[t] + near[t + 2];  // BUG halo_not_filled: never written
}

PLANTED(halo_not_filled) {
  const Array<float> x(values(kThreads, [](int) { return 1; })), y(kThreads);
  launch(smooth<fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return i % (kThreads - 1) == 0 ? 1 : 2; });
}

template <bool accumulate>
__global__ void add_into(const float* x, float* y) {
  if constexpr (accumulate) {
    y[threadIdx.x] += x[threadIdx.x];  // BUG output_not_zeroed: never written
  } else {
    y[threadIdx.x] = x[threadIdx.x];
  }
}

PLANTED(output_not_zeroed) {
  const Array<float> x(values(kThreads, [](int) { return 1; })), y(kThreads);
  launch(add_into<!fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int) { return 1; });
}

__global__ void partial_sums(const float* x, float* partial) {
  float sum = 0;
  for (int i = 0; i < kThreads; ++i) sum += x[blockIdx.x * kThreads + i];
  partial[blockIdx.x] = sum;
}

__global__ void total(const float* partial, float* y, int slices) {
  float sum = 0;
  for (int s = 0; s < slices; ++s) sum += partial[s];  // BUG second_pass_reads_more: never written
  y[0] = sum;
}

PLANTED(second_pass_reads_more) {
  const Array<float> x(values(3 * kThreads, [](int) { return 1; })), partial(4), y(1);
  launch(partial_sums, 3, 1, 0, x.data(), partial.data());
  launch(total, 1, 1, 0, partial.data(), y.data(), fixed ? 3 : 4);
  return y.host()[0] == 3 * kThreads;
}

}  // namespace
