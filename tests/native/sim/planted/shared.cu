// Races in shared memory.
#include "planted.cuh"

namespace {

using namespace planted;

constexpr int kTile = 8;

// c = a b, matrices of n x n; n is a multiple of kTile.
template <bool after_load, bool after_use>
__global__ void matmul(const float* a, const float* b, float* c, int n) {
  SHARED(float, left, [kTile][kTile]);
  SHARED(float, right, [kTile][kTile]);
  const int x = threadIdx.x, y = threadIdx.y;
  const int row = blockIdx.y * kTile + y, column = blockIdx.x * kTile + x;
  float sum = 0;
  for (int first = 0; first < n; first += kTile) {
    left[y][x] = a[row * n + first + x];  // BUG matmul_tile_overwritten: race
    right[y][x] = b[(first + y) * n + column];
    if constexpr (after_load) __syncthreads();
    for (int k = 0; k < kTile; ++k) {
      sum += left[y][k] *  // BUG matmul_tile_not_loaded: race
             right[k][x];
    }
    if constexpr (after_use) __syncthreads();
  }
  c[row * n + column] = sum;
}

template <bool after_load, bool after_use>
bool multiply() {
  constexpr int n = 3 * kTile;
  const Array<float> a(ramp(n * n)), b(ramp(n * n)), c(n * n);
  launch(matmul<after_load, after_use>, dim3(3, 3), dim3(kTile, kTile), 0, a.data(), b.data(),
         c.data(), n);
  return c.host() == values(n * n, [&](int i) {
           int sum = 0;
           for (int k = 0; k < n; ++k) sum += (i / n * n + k) % 10 * ((k * n + i % n) % 10);
           return sum;
         });
}

PLANTED(matmul_tile_not_loaded) { return multiply<fixed, true>(); }
PLANTED(matmul_tile_overwritten) { return multiply<true, fixed>(); }

constexpr int kThreads = 64;

template <bool barrier>
__global__ void tree_sum(const float* x, float* y) {
  SHARED(float, part, [kThreads]);
  const int t = threadIdx.x;
  part[t] = x[blockIdx.x * kThreads + t];
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (t < half) part[t] += part[t + half];  // BUG reduction_step_without_barrier: race
    if constexpr (barrier) __syncthreads();
  }
  if (t == 0) y[blockIdx.x] = part[0];
}

template <class Kernel>
bool sums(Kernel kernel) {
  const Array<float> x(values(2 * kThreads, [](int) { return 1; })), y(2);
  launch(kernel, 2, kThreads, 0, x.data(), y.data());
  return y.host() == values(2, [](int) { return kThreads; });
}

PLANTED(reduction_step_without_barrier) { return sums(tree_sum<fixed>); }

// The old way, for warps that run in step: nothing orders the last five steps.
template <bool ordered>
__global__ void warp_synchronous_sum(const float* x, float* y) {
  SHARED(float, part, [kThreads]);
  const int t = threadIdx.x;
  part[t] = x[blockIdx.x * kThreads + t];
  __syncthreads();
  if (t < 32) {
    for (int d = 32; d > 0; d /= 2) {
      const float other = part[t + d];
      if constexpr (ordered) __syncwarp();
      part[t] += other;  // BUG warp_synchronous_reduction: race
      if constexpr (ordered) __syncwarp();
    }
  }
  if (t == 0) y[blockIdx.x] = part[0];
}

PLANTED(warp_synchronous_reduction) { return sums(warp_synchronous_sum<fixed>); }

template <bool everybody>
__global__ void halves_sum(const float* x, float* y) {
  SHARED(float, part, [kThreads]);
  const int t = threadIdx.x, lane = t % 32;
  part[t] = x[blockIdx.x * kThreads + t];
  __syncwarp(everybody ? ~0u : lane < 16 ? 0xffffu : 0xffff0000u);
  const float pair = part[t] + part[t ^ 16];  // BUG syncwarp_of_half_a_warp: race
  __syncthreads();
  part[t] = pair;
  __syncthreads();
  if (t != 0) return;
  float sum = 0;
  for (int i = 0; i < kThreads; ++i) sum += part[i] / 2;
  y[blockIdx.x] = sum;
}

PLANTED(syncwarp_of_half_a_warp) { return sums(halves_sum<fixed>); }

template <bool double_buffer>
__global__ void scan(const float* x, float* y) {
  SHARED(float, part, [2][kThreads]);
  const int t = threadIdx.x;
  int now = 0;
  part[0][t] = x[t];
  for (int d = 1; d < kThreads; d *= 2) {
    __syncthreads();
    const int next = double_buffer ? 1 - now : now;
    part[next][t] = part[now][t] + (t < d ? 0 : part[now][t - d]);  // BUG scan_in_place: race
    now = next;
  }
  y[t] = part[now][t];
}

PLANTED(scan_in_place) {
  const Array<float> x(values(kThreads, [](int) { return 1; })), y(kThreads);
  launch(scan<fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return i + 1; });
}

template <bool barrier>
__global__ void transpose(const float* x, float* y) {
  SHARED(float, tile, [kTile][kTile + 1]);
  tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * kTile + threadIdx.x];
  if constexpr (barrier) __syncthreads();
  y[threadIdx.y * kTile + threadIdx.x] =
      tile[threadIdx.x][threadIdx.y];  // BUG transpose_without_barrier: race
}

PLANTED(transpose_without_barrier) {
  const Array<float> x(values(kTile * kTile, [](int i) { return i; })), y(kTile * kTile);
  launch(transpose<fixed>, 1, dim3(kTile, kTile), 0, x.data(), y.data());
  return y.host() == values(kTile * kTile, [](int i) { return i % kTile * kTile + i / kTile; });
}

template <bool barrier>
__global__ void divide_by_largest(const float* x, float* y) {
  SHARED(float, largest, [1]);
  const int t = threadIdx.x;
  if (t == 0) {
    float found = x[0];
    for (int i = 1; i < kThreads; ++i) found = x[i] > found ? x[i] : found;
    largest[0] = found;
  }
  if constexpr (barrier) __syncthreads();
  y[t] = x[t] / largest[0];  // BUG broadcast_without_barrier: race
}

PLANTED(broadcast_without_barrier) {
  const Array<float> x(values(kThreads, [](int i) { return i + 1; })), y(kThreads);
  launch(divide_by_largest<fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return static_cast<float>(i + 1) / kThreads; });
}

template <bool barrier>
__global__ void smooth(const float* x, float* y) {
  SHARED(float, near, [kThreads + 2]);
  const int t = threadIdx.x;
  near[t + 1] = x[t];
  if (t < 2) near[t * (kThreads + 1)] = 0;
  if constexpr (barrier) __syncthreads();
  y[t] = near[t] + near[t + 2];  // BUG halo_without_barrier: race
}

PLANTED(halo_without_barrier) {
  const Array<float> x(values(kThreads, [](int) { return 1; })), y(kThreads);
  launch(smooth<fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return i % (kThreads - 1) == 0 ? 1 : 2; });
}

template <bool atomic>
__global__ void count_digits(const float* x, int* counts) {
  SHARED(int, bins, [10]);
  const int t = threadIdx.x, digit = static_cast<int>(x[t]);
  if (t < 10) bins[t] = 0;
  __syncthreads();
  if constexpr (atomic) {
    atomicAdd(&bins[digit], 1);
  } else {
    bins[digit] += 1;  // BUG shared_histogram_without_atomics: race
  }
  __syncthreads();
  if (t < 10) counts[t] = bins[t];
}

PLANTED(shared_histogram_without_atomics) {
  const Array<float> x(ramp(kThreads));
  const Array<int> counts(10);
  launch(count_digits<fixed>, 1, kThreads, 0, x.data(), counts.data());
  return counts.host() == values<int>(10, [](int i) { return i < 4 ? 7 : 6; });
}

// Several threads write the same value: still a race in the C++ and CUDA memory models.
template <bool atomic>
__global__ void any_negative(const float* x, int* found) {
  SHARED(int, any, [1]);
  if (threadIdx.x == 0) any[0] = 0;
  __syncthreads();
  if (x[threadIdx.x] < 0) {
    if constexpr (atomic) {
      atomicExch(&any[0], 1);
    } else {
      any[0] = 1;  // BUG flag_set_by_many: race
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) found[0] = any[0];
}

PLANTED(flag_set_by_many) {
  const Array<float> x(values(kThreads, [](int i) { return i % 2 == 0 ? -1 : 1; }));
  const Array<int> found(1);
  launch(any_negative<fixed>, 1, kThreads, 0, x.data(), found.data());
  return found.host()[0] == 1;
}

template <bool barrier>
__global__ void rotate_rounds(float* y) {
  SHARED(float, row, [kThreads]);
  const int t = threadIdx.x;
  float sum = 0;
  for (int r = 0; r < 4; ++r) {
    row[t] = static_cast<float>(r);  // BUG shared_reused_too_early: race
    __syncthreads();
    sum += row[(t + 1) % kThreads];
    if constexpr (barrier) __syncthreads();
  }
  y[t] = sum;
}

PLANTED(shared_reused_too_early) {
  const Array<float> y(kThreads);
  launch(rotate_rounds<fixed>, 1, kThreads, 0, y.data());
  return y.host() == values(kThreads, [](int) { return 6; });
}

}  // namespace
