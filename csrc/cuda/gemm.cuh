// GEMM: out(m, n) = sum over k of a(m, k) * b(k, n), the loop nest of matmul and of all
// convolutions.
//
// A block of 256 threads computes a tile of 64 x 64 outputs, a thread 4 x 4 of them in registers.
// For every 16 steps of k the block brings 64 x 16 elements of a and of b into shared memory. What
// an element is comes from the operand: a plain strided matrix, or an image seen through a
// convolution's window. Sums run over k in order.
//
// Float16 and bfloat16 become float32 on their way into shared memory, a result is rounded once.
//
// Operand:  lanes()      how many rows of a or columns of b there are
//           k_first()    whether neighbouring threads should load neighbouring k (else neighbouring
//           lanes) lane(i)      what element accesses of row or column i have in common at(lane, k)
//           the element
// Output:   put(m, n, value)
#pragma once

#include "launch.cuh"
#include "maths.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {

constexpr int kTile = 64;   // outputs of a block, each way
constexpr int kDepth = 16;  // steps of k in shared memory
constexpr int kMicro = 4;   // outputs of a thread, each way
constexpr int kGemmThreads = (kTile / kMicro) * (kTile / kMicro);
constexpr int kLoads = kTile * kDepth / kGemmThreads;  // elements a thread loads of each operand

// T is what sums are made in.
template <class T>
struct GemmTiles {
  // The padding spreads a column's elements over the memory banks.
  T a[kDepth][kTile + 4];
  T b[kDepth][kTile + 4];
};

// The part of an operand that one thread loads: kLoads steps of k, always in the same lane.
template <class T, class Operand, class I>
struct Loader {
  const Operand& operand;
  int column, step;  // in the tile
  bool valid;
  typename Operand::Lane lane;
  T loaded[kLoads];

  __device__ Loader(const Operand& o, I first_lane) : operand(o) {
    const int t = static_cast<int>(threadIdx.x);
    column = o.k_first() ? t / (kDepth / kLoads) : t % kTile;
    step = (o.k_first() ? t % (kDepth / kLoads) : t / kTile) * kLoads;
    valid = first_lane + column < o.lanes();
    lane = valid ? o.lane(first_lane + column) : typename Operand::Lane{};
  }

  __device__ void load(I k, I depth) {
    for (int i = 0; i < kLoads; ++i) {
      loaded[i] = valid && k + step + i < depth ? widen(operand.at(lane, k + step + i)) : T{0};
    }
  }

  __device__ void store(T (&tile)[kDepth][kTile + 4]) const {
    for (int i = 0; i < kLoads; ++i) tile[step + i][column] = loaded[i];
  }
};

// The tile that starts at (first_m, first_n). All threads of the block call it.
template <class T, class I, class A, class B, class Output>
__device__ __forceinline__ void gemm_tile(const A& a, const B& b, const Output& output, I first_m,
                                          I first_n, I depth) {
  GemmTiles<T>& tiles = shared<GemmTiles<T>>();
  const int row = static_cast<int>(threadIdx.x) / (kTile / kMicro) * kMicro;
  const int column = static_cast<int>(threadIdx.x) % (kTile / kMicro) * kMicro;
  const bool busy = first_m + row < a.lanes() && first_n + column < b.lanes();
  Loader<T, A, I> load_a(a, first_m);
  Loader<T, B, I> load_b(b, first_n);
  T sum[kMicro][kMicro] = {};

  for (I k = 0; k < depth; k += kDepth) {
    load_a.load(k, depth);
    load_b.load(k, depth);
    __syncthreads();  // the last step's readers are done with the tiles
    load_a.store(tiles.a);
    load_b.store(tiles.b);
    __syncthreads();
    if (!busy) continue;
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      T x[kMicro], y[kMicro];
      for (int i = 0; i < kMicro; ++i) x[i] = tiles.a[d][row + i];
      for (int j = 0; j < kMicro; ++j) y[j] = tiles.b[d][column + j];
      for (int i = 0; i < kMicro; ++i) {
        for (int j = 0; j < kMicro; ++j) sum[i][j] = m::fused(x[i], y[j], sum[i][j]);
      }
    }
  }
  for (int i = 0; i < kMicro; ++i) {
    for (int j = 0; j < kMicro; ++j) {
      const I m = first_m + row + i, n = first_n + column + j;
      if (m < a.lanes() && n < b.lanes()) output.put(m, n, sum[i][j]);
    }
  }
}

inline std::int64_t tiles_for(std::int64_t lanes) { return (lanes + kTile - 1) / kTile; }

// Grid: x the tiles of one product, column after column of tiles; y the products, in strides where
// there are many.
inline dim3 gemm_grid(std::int64_t m, std::int64_t n, std::int64_t products) {
  return dim3(static_cast<unsigned>(tiles_for(m) * tiles_for(n)),
              static_cast<unsigned>(std::min<std::int64_t>(products, 65535)));
}

}  // namespace NEEDLE_NS
