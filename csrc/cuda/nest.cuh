// Nest: a loop nest over N arrays of one shape, as kernels take it: from an element's number to its
// offset in each.
#pragma once

#include <cstdint>

#include "../core/view.h"

namespace NEEDLE_NS {

// A divisor that all threads share.
template <class Index>
struct Divisor {
  Index value;

  static Divisor of(std::int64_t n) { return {static_cast<Index>(n)}; }
  NEEDLE_HD Index quotient(Index number) const { return number / value; }
};

// 32 bits, up to 2^31 on either side: a multiplication by 2^(32 + shift) / n, rounded up, less
// 2^32. Its error, below number / 2^(32 + shift), is less than the 1 / n that a quotient can lack.
template <>
struct Divisor<std::uint32_t> {
  std::uint32_t value, factor;
  int shift;

  static Divisor of(std::int64_t n) {
    int shift = 0;
    while ((std::int64_t{1} << shift) < n) ++shift;
    const std::int64_t excess = ((std::int64_t{1} << shift) - n) << 32;
    return {static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(excess / n + 1), shift};
  }
  NEEDLE_HD std::uint32_t quotient(std::uint32_t number) const {
    const auto high = static_cast<std::uint32_t>((std::uint64_t{number} * factor) >> 32);
    return (high + number) >> shift;
  }
};

// Numbers of elements are of type Index (32 bits up to 2^31 elements), offsets have 64 bits.
template <int N, class Index>
struct Nest {
  int ndim;
  Divisor<Index> shape[needle::kMaxDims];
  std::int64_t strides[N][needle::kMaxDims];

  struct Offsets {
    std::int64_t of[N];
  };

  NEEDLE_HD Offsets at(Index number) const {
    Offsets offsets{};
    for (int d = ndim - 1; d >= 0; --d) {
      const Index rest = d > 0 ? shape[d].quotient(number) : Index{0};
      const auto i = static_cast<std::int64_t>(number - rest * shape[d].value);
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
  if (needle::numel(views[0]) == 0) return nest;  // nothing to divide
  for (int d = 0; d < nest.ndim; ++d) {
    nest.shape[d] = Divisor<Index>::of(views[0].shape[d]);
    for (int k = 0; k < N; ++k) nest.strides[k][d] = views[k].strides[d];
  }
  return nest;
}

// Elements up to which an index has 32 bits, with room for what is added to it. The simulator's
// arrays are small: there some are beyond it, so that both ways are taken.
#if NEEDLE_SIM
inline constexpr std::int64_t kNarrow = 20'000;
#else
inline constexpr std::int64_t kNarrow = (std::int64_t{1} << 31) - 4096;
#endif

// Calls f with an index type for so many elements.
template <class F>
void visit_index(std::int64_t n, F&& f) {
  if (n <= kNarrow) return f(std::uint32_t{});
  f(std::uint64_t{});
}

}  // namespace NEEDLE_NS
