// The inner blocks that matmul and all three convolutions are made of:
//
//   C[i][j] (+)= sum over segments s, over t < length_s of  A_i[a_s + t * a_step] * B[k_s + t][j]
//
// for a panel of at most kTileRows rows i and any number of columns j. K comes as segments, so that
// a convolution reads its patches in place: rows are output pixels, a segment is what one tap
// contributes. Each element of C is one chain of fma in the order of the segments, and does not
// depend on where in which tile it was computed.
//
// Shapes: A panel R x K in L1, B block K x N packed in panels of kTileColumns columns in L2, C tile
// R x 2 vectors in registers. Source: Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008); BLIS (Van Zee and van de Geijn, 2015); rows by pointer after Dukhan, "The
// indirect convolution algorithm" (2019).
#pragma once

#include <cstdint>

#include "simd.h"

namespace NEEDLE_NS {

using std::int64_t;

// 2 vectors of B, one of A, and the rest of the registers for C.
#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__x86_64__)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 8;
#endif
template <class T>
constexpr int kTileColumns = 2 * lanes<T>;

// K is summed in blocks of at most kDepth: a block's sum is formed in registers and then added to
// C.
constexpr int64_t kDepth = 512;

// Columns of B that are packed at a time, whole panels: with kDepth, as much as a 1 MiB L2.
template <class T>
constexpr int64_t kBlockColumns = 32 * 64 / static_cast<int64_t>(sizeof(T));
static_assert(kBlockColumns<double> % kTileColumns<double> == 0 &&
              kBlockColumns<float> % kTileColumns<float> == 0);

struct Segment {
  int64_t a;       // offset of its first element from the start of a row
  int64_t k;       // its first row of the B block
  int64_t length;  // > 0
};

template <class T>
struct Product {
  const T* a[kTileRows];  // where each row starts; with a_step != 1 only a[0], and row i starts at
                          // a[0] + i
  int64_t a_step;  // 1: along a row; otherwise rows are neighbours and this leads to the next k
  int rows;        // 1 ... kTileRows
  const Segment* segments;
  int64_t segment_count;
  const T* b;  // B block: column j of row k at b[j / columns * b_panel + k * b_step + j % columns]
  int64_t b_panel, b_step;
  T* c[kTileRows];  // each row's first column
  int64_t c_step;   // to the next column
  int64_t
      columns;  // of C; columns of B up to the next multiple of kTileColumns are read (not used)
  bool accumulate;  // add to C; otherwise C is only written
};

void multiply(const Product<float>& product) noexcept;
void multiply(const Product<double>& product) noexcept;

// B[k][j] = source[k * k_stride + j * j_stride] for k < depth, j < columns into panels, b_step =
// kTileColumns; columns that are missing in the last panel become 0.
template <class T>
struct RightBlock {
  const T* source;
  int64_t k_stride, j_stride;
  int64_t depth, columns;
  T* packed;
  int64_t panel;  // elements from one packed panel to the next: depth * kTileColumns, or more
};
void pack_right(const RightBlock<float>& block) noexcept;
void pack_right(const RightBlock<double>& block) noexcept;

// Copies a product's panel of A (element t of row i's segment at a[i] + segment.a + t * k_stride)
// into `packed`, kTileRows * kLeftRow elements, and points the product there. Pays where rows are
// read many times and are strided, in short segments, or evict each other from L1. `segments` has
// room for as many as before.
template <class T>
constexpr int64_t kLeftRow = kDepth + 64 / static_cast<int64_t>(sizeof(T));
void pack_left(Product<float>& product, int64_t k_stride, float* packed,
               Segment* segments) noexcept;
void pack_left(Product<double>& product, int64_t k_stride, double* packed,
               Segment* segments) noexcept;

// Rows at this distance (in bytes) share so few sets of an 8-way L1 that a panel's rows evict each
// other.
static inline bool rows_collide(int64_t bytes) {
  const int64_t distance = (bytes < 0 ? -bytes : bytes) % 4096;
  return distance < 128 || distance > 4096 - 128;
}

// The calling thread's scratch memory of at least `bytes` bytes, aligned to 64, reused by its next
// call; nullptr when there is none. Freed with the thread.
void* scratch(int64_t bytes) noexcept;

}  // namespace NEEDLE_NS
