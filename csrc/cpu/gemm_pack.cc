// Packing for gemm_block.h: panels of A and B copied into the order in which the register tiles
// read them.
#include <cstdlib>

#include "gemm_block.h"
#include "transpose.h"

namespace NEEDLE_NS {

// A panel of B whose columns lie side by side: copies rows of kTileColumns.
template <class T>
static void copy_rows(const RightBlock<T>& block, int64_t first, int64_t columns, T* packed) {
  constexpr int64_t width = kTileColumns<T>;
  for (int64_t k = 0; k < block.depth; ++k) {
    const T* from = block.source + k * block.k_stride + first;
    T* to = packed + k * width;
    if (columns == width) {
      store(to, load(from));
      store(to + lanes<T>, load(from + lanes<T>));
    } else {
      for (int64_t j = 0; j < width; ++j) to[j] = j < columns ? from[j] : T(0);
    }
  }
}

// Any strides; k in bands of a cache line, so that the lines written stay in L1.
template <class T>
static void copy_columns(const RightBlock<T>& block, int64_t first, int64_t columns, T* packed) {
  constexpr int64_t width = kTileColumns<T>, band = 64 / static_cast<int64_t>(sizeof(T));
  const T* const from = block.source + first * block.j_stride;
  for (int64_t k0 = 0; k0 < block.depth; k0 += band) {
    const int64_t rows = block.depth - k0 < band ? block.depth - k0 : band;
    T* const to = packed + k0 * width;
    if (block.k_stride == 1) {
      // Columns far apart defeat the processor's own prefetching.
      if (k0 + 4 * band < block.depth) {
        for (int64_t j = 0; j < columns; ++j)
          __builtin_prefetch(from + k0 + 4 * band + j * block.j_stride, 0, 2);
      }
      transpose_band(to, width, from + k0, block.j_stride, rows, columns);
    } else {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t k = 0; k < rows; ++k)
          to[k * width + j] = from[(k0 + k) * block.k_stride + j * block.j_stride];
      }
    }
    for (int64_t j = columns; j < width; ++j) {
      for (int64_t k = 0; k < rows; ++k) to[k * width + j] = 0;
    }
  }
}

template <class T>
static void pack_right_any(const RightBlock<T>& block) {
  constexpr int64_t width = kTileColumns<T>;
  T* packed = block.packed;
  for (int64_t j = 0; j < block.columns; j += width, packed += block.panel) {
    const int64_t columns = block.columns - j < width ? block.columns - j : width;
    if (block.j_stride == 1) {
      copy_rows(block, j, columns, packed);
    } else {
      copy_columns(block, j, columns, packed);
    }
  }
}

void pack_right(const RightBlock<float>& block) noexcept { pack_right_any(block); }
void pack_right(const RightBlock<double>& block) noexcept { pack_right_any(block); }

template <class T>
static void copy_row(T* to, const T* from, int64_t n) {
  int64_t i = 0;
  for (; i + lanes<T> <= n; i += lanes<T>) store(to + i, load(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

// Neighbouring rows: a stretch of each k.
template <class T>
static void copy_neighbours(T* to, const T* from, int64_t k_stride, int rows, int64_t n) {
  for (int64_t t = 0; t < n; ++t) {
    for (int i = 0; i < rows; i += lanes<T>) {
      const int64_t left = rows - i < lanes<T> ? rows - i : lanes<T>;
      store_partial(to + t * kTileRows + i, load_partial(from + t * k_stride + i, left), left);
    }
  }
}

// Rows along k stay rows, at a distance at which they do not share sets of L1; others become
// neighbours.
template <class T>
static void pack_left_any(Product<T>& p, int64_t k_stride, T* packed, Segment* segments) {
  const int64_t row_step = k_stride == 1 ? kLeftRow<T> : 1, k_step = k_stride == 1 ? 1 : kTileRows;
  const bool neighbours = k_stride != 1 && (p.rows == 1 || p.a[1] == p.a[0] + 1);
  int64_t count = 0, depth = 0;
  for (int64_t s = 0; s < p.segment_count; ++s) {
    const Segment& segment = p.segments[s];
    if (neighbours) {
      T* const to = packed + depth * kTileRows;
      copy_neighbours(to, p.a[0] + segment.a, k_stride, p.rows, segment.length);
    }
    for (int i = 0; i < p.rows && !neighbours; ++i) {
      const T* const from = p.a[i] + segment.a;
      T* const to = packed + depth * k_step + i * row_step;
      if (k_stride == 1) {
        copy_row(to, from, segment.length);
      } else {
        for (int64_t t = 0; t < segment.length; ++t) to[t * kTileRows] = from[t * k_stride];
      }
    }
    if (count > 0 && segments[count - 1].k + segments[count - 1].length == segment.k) {
      segments[count - 1].length += segment.length;
    } else {
      segments[count++] = Segment{depth * k_step, segment.k, segment.length};
    }
    depth += segment.length;
  }
  for (int i = 0; i < p.rows; ++i) p.a[i] = packed + i * row_step;
  p.a_step = k_step;
  p.segments = segments;
  p.segment_count = count;
}

void pack_left(Product<float>& product, int64_t k_stride, float* packed,
               Segment* segments) noexcept {
  pack_left_any(product, k_stride, packed, segments);
}
void pack_left(Product<double>& product, int64_t k_stride, double* packed,
               Segment* segments) noexcept {
  pack_left_any(product, k_stride, packed, segments);
}

namespace {
struct Scratch {
  void* block = nullptr;
  int64_t bytes = 0;
  ~Scratch() { std::free(block); }
};
}  // namespace

void* scratch(int64_t bytes) noexcept {
  static thread_local Scratch mine;
  if (mine.bytes < bytes) {
    std::free(mine.block);
    const std::size_t size = (static_cast<std::size_t>(bytes) + 4095) / 4096 * 4096;
    mine.block = std::aligned_alloc(64, size);
    mine.bytes = mine.block == nullptr ? 0 : static_cast<int64_t>(size);
  }
  return mine.block;
}

}  // namespace NEEDLE_NS
