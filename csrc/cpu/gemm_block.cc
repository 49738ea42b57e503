// The register tiles of gemm_block.h: R rows by V vectors of C for every R up to kTileRows and V up
// to 2, so that no edge computes more than it keeps.
#include "gemm_block.h"

namespace NEEDLE_NS {

// One step of k: C += A column times B row.
template <int R, int V, class T, class Left>
NEEDLE_INLINE void step(vec<T> (&acc)[R][V], const T* b, Left a) {
  vec<T> right[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) right[v] = load(b + v * lanes<T>);
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    const vec<T> left = broadcast<vec<T>>(a(i));
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[i][v] = fma(left, right[v], acc[i][v]);
  }
}

// Writes what is no full tile of neighbouring columns: `columns` of each row of `sums`, which is
// `width` wide.
template <class T>
static __attribute__((noinline)) void put_edge(const Product<T>& p, const T* sums, int64_t width,
                                               int64_t first, int64_t columns) noexcept {
  for (int i = 0; i < p.rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      T* const at = p.c[i] + (first + j) * p.c_step;
      *at = p.accumulate ? *at + sums[i * width + j] : sums[i * width + j];
    }
  }
}

// One tile: columns [0, columns) of C from column `first`, columns <= V vectors.
template <int R, int V, bool kNeighbours, class T>
static void tile(const Product<T>& p, int64_t first, int64_t columns) noexcept {
  const T* const b = p.b + first / kTileColumns<T> * p.b_panel;
  const int64_t b_step = p.b_step;
  if (p.accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) __builtin_prefetch(p.c[i] + first * p.c_step + v * lanes<T>, 1);
    }
  }
  vec<T> acc[R][V] = {};
  for (int64_t s = 0; s < p.segment_count; ++s) {
    const Segment& segment = p.segments[s];
    const T* right = b + segment.k * b_step;
    const int64_t length = segment.length;
    if constexpr (kNeighbours) {
      const T* left = p.a[0] + segment.a;
      for (int64_t k = 0; k < length; ++k) {
        step<R, V>(acc, right, [&](int i) __attribute__((always_inline)) { return left[i]; });
        left += p.a_step;
        right += b_step;
      }
    } else {
      const T* left[R];
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) left[i] = p.a[i] + segment.a;
      for (int64_t k = 0; k < length; ++k) {
        step<R, V>(acc, right, [&](int i) __attribute__((always_inline)) { return left[i][k]; });
        right += b_step;
      }
    }
  }
  constexpr int64_t width = V * lanes<T>;
  if (p.c_step != 1 || columns != width) {
    T sums[R * width];
    __builtin_memcpy(sums, acc, sizeof sums);
    return put_edge(p, sums, width, first, columns);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    T* const row = p.c[i] + first;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      T* const at = row + v * lanes<T>;
      store(at, p.accumulate ? load(at) + acc[i][v] : acc[i][v]);
    }
  }
}

template <int R, bool kNeighbours, class T>
static void panel(const Product<T>& p) noexcept {
  if constexpr (R > 1) {
    if (p.rows < R) return panel<R - 1, kNeighbours>(p);
  }
  constexpr int64_t width = kTileColumns<T>;
  for (int64_t j = 0; j < p.columns; j += width) {
    const int64_t columns = p.columns - j < width ? p.columns - j : width;
    if (columns > lanes<T>) {
      tile<R, 2, kNeighbours>(p, j, columns);
    } else {
      tile<R, 1, kNeighbours>(p, j, columns);
    }
  }
}

template <class T>
static void multiply_any(const Product<T>& p) noexcept {
  if (p.a_step == 1) {
    panel<kTileRows, false>(p);
  } else {
    panel<kTileRows, true>(p);
  }
}

void multiply(const Product<float>& product) noexcept { multiply_any(product); }
void multiply(const Product<double>& product) noexcept { multiply_any(product); }

}  // namespace NEEDLE_NS
