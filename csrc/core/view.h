// View: where an array's elements lie, as kernels see it, and the index algebra that cpu and cuda
// share.
//
// Kernel files are compiled once per instruction set, and an inline function with external linkage
// that one of them instantiates may be chosen by the linker for all. Headers that kernels include
// therefore hold only static functions, plain data, and templates inside NEEDLE_NS (a namespace of
// the including file's own).
#pragma once

#include "dtype.h"

namespace needle {

constexpr int kMaxDims = 8;

// Element (i0, i1, ...) lies at data + itemsize * sum(i_k * strides[k]); strides may be 0 or
// negative.
struct View {
  void* data;
  DType dtype;
  int ndim;
  std::int64_t shape[kMaxDims];
  std::int64_t strides[kMaxDims];
};

static inline std::int64_t numel(const View& v) {
  std::int64_t n = 1;
  for (int i = 0; i < v.ndim; ++i) n *= v.shape[i];
  return n;
}

// Row-major without gaps; dimensions of size 1 may have any stride, empty arrays are compact.
static inline bool is_compact(int ndim, const std::int64_t* shape, const std::int64_t* strides) {
  std::int64_t expected = 1;
  bool compact = true;
  for (int i = ndim - 1; i >= 0; --i) {
    if (shape[i] == 0) return true;
    compact = compact && (shape[i] == 1 || strides[i] == expected);
    expected *= shape[i];
  }
  return compact;
}

static inline bool is_compact(const View& v) { return is_compact(v.ndim, v.shape, v.strides); }

// Rewrites n views of one shape into an equivalent loop nest of as few dimensions as possible:
// drops dimensions of size 1, orders them by falling stride of views[0] (the output), and merges
// those that every view walks as one. Only for kernels in which each output element depends on the
// inputs at the same index.
static inline void collapse(View* views, int n) {
  const int ndim = views[0].ndim;
  int kept = 0;
  for (int d = 0; d < ndim; ++d) {
    if (views[0].shape[d] == 1) continue;
    for (int k = 0; k < n; ++k) {
      views[k].shape[kept] = views[k].shape[d];
      views[k].strides[kept] = views[k].strides[d];
    }
    ++kept;
  }
  const auto magnitude = [&](int d) {
    const std::int64_t s = views[0].strides[d];
    return s < 0 ? -s : s;
  };
  for (int d = 1; d < kept; ++d) {
    for (int e = d; e > 0 && magnitude(e - 1) < magnitude(e); --e) {
      for (int k = 0; k < n; ++k) {
        View& v = views[k];
        const std::int64_t shape = v.shape[e], stride = v.strides[e];
        v.shape[e] = v.shape[e - 1];
        v.strides[e] = v.strides[e - 1];
        v.shape[e - 1] = shape;
        v.strides[e - 1] = stride;
      }
    }
  }
  int out = 0;
  for (int d = 0; d < kept; ++d) {
    bool merge = out > 0;
    for (int k = 0; merge && k < n; ++k) {
      merge = views[k].strides[out - 1] == views[k].strides[d] * views[k].shape[d];
    }
    for (int k = 0; k < n; ++k) {
      View& v = views[k];
      if (merge) {
        v.shape[out - 1] *= v.shape[d];
        v.strides[out - 1] = v.strides[d];
      } else {
        v.shape[out] = v.shape[d];
        v.strides[out] = v.strides[d];
      }
    }
    if (!merge) ++out;
  }
  for (int k = 0; k < n; ++k) views[k].ndim = out;
}

}  // namespace needle
