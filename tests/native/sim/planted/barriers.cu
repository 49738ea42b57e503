// Barriers, shuffles and votes that not everybody reaches.
#include "planted.cuh"

namespace {

using namespace planted;

constexpr int kThreads = 64;

template <bool early>
__global__ void mirror(const float* x, float* y, int n) {
  SHARED(float, row, [kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  if (early && t >= n) return;
  row[t] = t < n ? x[t] : 0;
  __syncthreads();  // BUG return_before_the_barrier: divergent barrier
  if (t < n) y[t] = row[n - 1 - t];
}

PLANTED(return_before_the_barrier) {
  constexpr int n = 40;
  const Array<float> x(values(n, [](int i) { return i; })), y(n);
  launch(mirror<!fixed>, 1, kThreads, 0, x.data(), y.data(), n);
  return y.host() == values(n, [](int i) { return n - 1 - i; });
}

template <bool inside>
__global__ void halves(const float* x, float* y) {
  SHARED(float, row, [kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  row[t] = x[t];
  if (t < kThreads / 2) {
    if constexpr (inside) __syncthreads();  // BUG barrier_in_a_branch: divergent barrier
  }
  if constexpr (!inside) __syncthreads();
  y[t] = t < kThreads / 2 ? row[kThreads / 2 - 1 - t] : x[t];
}

PLANTED(barrier_in_a_branch) {
  const Array<float> x(values(kThreads, [](int i) { return i; })), y(kThreads);
  launch(halves<!fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return i < 32 ? 31 - i : i; });
}

template <bool apart>
__global__ void either(const float* x, float* y) {
  SHARED(float, row, [kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  if (t % 2 == 0) {
    row[t] = x[t];
    if constexpr (apart) __syncthreads();  // BUG barriers_of_two_branches: divergent barrier
  } else {
    row[t] = -x[t];
    if constexpr (apart) __syncthreads();
  }
  if constexpr (!apart) __syncthreads();
  y[t] = row[t ^ 1];
}

PLANTED(barriers_of_two_branches) {
  const Array<float> x(values(kThreads, [](int i) { return i; })), y(kThreads);
  launch(either<!fixed>, 1, kThreads, 0, x.data(), y.data());
  return y.host() == values(kThreads, [](int i) { return i % 2 == 0 ? -(i ^ 1) : i ^ 1; });
}

// Row t has t % 4 + 1 elements; the barrier stands in a loop of that length.
template <bool same>
__global__ void ragged(float* y) {
  SHARED(float, row, [kThreads]);
  const int t = static_cast<int>(threadIdx.x), length = t % 4 + 1;
  float sum = 0;
  for (int i = 0; i < (same ? 4 : length); ++i) {
    row[t] = static_cast<float>(i);
    __syncthreads();  // BUG barrier_in_a_ragged_loop: divergent barrier
    if (i < length) sum += row[t];
    __syncthreads();
  }
  y[t] = sum;
}

PLANTED(barrier_in_a_ragged_loop) {
  const Array<float> y(kThreads);
  launch(ragged<fixed>, 1, kThreads, 0, y.data());
  return y.host() == values(kThreads, [](int i) { return (i % 4) * (i % 4 + 1) / 2; });
}

__device__ float warp_sum(unsigned mask, float value, int width) {
  for (int d = width / 2; d > 0; d /= 2) {
    value += __shfl_xor_sync(mask, value, d);  // BUG full_mask_in_a_branch: divergent barrier
  }
  return value;
}

template <bool half>
__global__ void sum_of_half(const float* x, float* y) {
  const int t = static_cast<int>(threadIdx.x);
  if (t < 16) y[t] = warp_sum(half ? 0xffffu : ~0u, x[t], 16);
  __syncthreads();
  if (t >= 16) y[t] = x[t];
}

PLANTED(full_mask_in_a_branch) {
  const Array<float> x(values(32, [](int) { return 1; })), y(32);
  launch(sum_of_half<fixed>, 1, 32, 0, x.data(), y.data());
  return y.host() == values(32, [](int i) { return i < 16 ? 16 : 1; });
}

template <unsigned mask>
__global__ void broadcast(const float* x, float* y) {
  const int t = static_cast<int>(threadIdx.x);
  float value = 0;
  if ((mask >> t & 1u) != 0) {
    value = __shfl_sync(mask, x[t], 20);  // BUG shuffle_from_an_absent_lane: shuffle
  }
  y[t] = value;
}

PLANTED(shuffle_from_an_absent_lane) {
  const Array<float> x(values(32, [](int i) { return i; })), y(32);
  constexpr unsigned mask = fixed ? ~0u : 0xffffu;
  launch(broadcast<mask>, 1, 32, 0, x.data(), y.data());
  return y.host() == values(32, [](int) { return 20; });
}

template <unsigned mask>
__global__ void neighbour(const float* x, float* y) {
  const int t = static_cast<int>(threadIdx.x);
  y[t] = __shfl_xor_sync(mask, x[t], 1);  // BUG lane_outside_its_mask: shuffle
}

PLANTED(lane_outside_its_mask) {
  const Array<float> x(values(32, [](int i) { return i; })), y(32);
  constexpr unsigned mask = fixed ? ~0u : 0x7fffffffu;
  launch(neighbour<mask>, 1, 32, 0, x.data(), y.data());
  return y.host() == values(32, [](int i) { return i ^ 1; });
}

template <bool inside>
__global__ void lower_lanes(const float* x, float* y) {
  SHARED(float, row, [32]);
  const int t = static_cast<int>(threadIdx.x);
  row[t] = x[t];
  if (t < 16) {
    if constexpr (inside) __syncwarp();  // BUG syncwarp_in_a_branch: divergent barrier
  }
  __syncthreads();
  y[t] = row[31 - t];
}

PLANTED(syncwarp_in_a_branch) {
  const Array<float> x(values(32, [](int i) { return i; })), y(32);
  launch(lower_lanes<!fixed>, 1, 32, 0, x.data(), y.data());
  return y.host() == values(32, [](int i) { return 31 - i; });
}

// The vote's answer is wanted by all, and asked for by the first warp's lower half only.
template <bool everybody>
__global__ void any_large(const float* x, float* y) {
  const int t = static_cast<int>(threadIdx.x);
  int any = 0;
  if (everybody || t < 16) {
    any = __any_sync(~0u, x[t] > 30);  // BUG vote_of_some: divergent barrier
  }
  __syncthreads();
  y[t] = static_cast<float>(any);
}

PLANTED(vote_of_some) {
  const Array<float> x(values(32, [](int i) { return i; })), y(32);
  launch(any_large<fixed>, 1, 32, 0, x.data(), y.data());
  return y.host() == values(32, [](int) { return 1; });
}

}  // namespace
