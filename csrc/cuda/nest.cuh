// Nest: a loop nest over N arrays of one shape, as kernels take it: from an element's number to its
// offset in each.
#pragma once

#include <cstdint>

#include "../core/view.h"

namespace NEEDLE_NS {

// Element numbers are of type Index (32 bits wherever they suffice: division is what it costs),
// offsets have 64 bits.
template <int N, class Index>
struct Nest {
  int ndim;
  Index shape[needle::kMaxDims];
  std::int64_t strides[N][needle::kMaxDims];

  struct Offsets {
    std::int64_t of[N];
  };

  NEEDLE_HD Offsets at(Index number) const {
    Offsets offsets{};
    for (int d = ndim - 1; d >= 0; --d) {
      const Index rest = d > 0 ? number / shape[d] : Index{0};
      const auto i = static_cast<std::int64_t>(d > 0 ? number - rest * shape[d] : number);
      for (int k = 0; k < N; ++k) offsets.of[k] += i * strides[k][d];
      number = rest;
    }
    return offsets;
  }
};

template <int N, class Index>
Nest<N, Index> make_nest(const needle::View* views) {
  Nest<N, Index> nest{};
  nest.ndim = views[0].ndim;
  for (int d = 0; d < nest.ndim; ++d) {
    nest.shape[d] = static_cast<Index>(views[0].shape[d]);
    for (int k = 0; k < N; ++k) nest.strides[k][d] = views[k].strides[d];
  }
  return nest;
}

}  // namespace NEEDLE_NS
