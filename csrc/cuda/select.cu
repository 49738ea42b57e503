// Elements chosen by a mask (where) or by index along an axis (gather): a thread per element.
#include "kernels.h"
#include "nest.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

constexpr unsigned kThreads = 256;

template <class T, class M>
__global__ void __launch_bounds__(kThreads)
    select_elements(std::uint64_t n, const __grid_constant__ Nest<4, std::uint64_t> nest, T* dst,
                    const M* mask, const T* a, const T* b) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const auto at = nest.at(i);
  dst[at.of[0]] = mask[at.of[1]] != M(0) ? a[at.of[2]] : b[at.of[3]];
}

template <class T, class M>
void select(const Stream& stream, View (&views)[4]) {
  needle::collapse(views, 4);
  const std::int64_t n = needle::numel(views[0]);
  launch(select_elements<T, M>, blocks_for(n, kThreads), kThreads, 0, stream,
         static_cast<std::uint64_t>(n), make_nest<4, std::uint64_t>(views),
         static_cast<T*>(views[0].data), static_cast<const M*>(views[1].data),
         static_cast<const T*>(views[2].data), static_cast<const T*>(views[3].data));
}

// The nest walks dst, index and a, in which the axis stands still; `along` is a's stride there.
template <class Word>
__global__ void __launch_bounds__(kThreads)
    gather_elements(std::uint64_t n, const __grid_constant__ Nest<3, std::uint64_t> nest, Word* dst,
                    const std::int64_t* index, const Word* a, std::int64_t along) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const auto at = nest.at(i);
  dst[at.of[0]] = a[at.of[2] + index[at.of[1]] * along];
}

template <class Word>
void gather_words(const Stream& stream, const View& dst, View a, const View& index, int axis) {
  const std::int64_t along = a.strides[axis];
  a.shape[axis] = dst.shape[axis];
  a.strides[axis] = 0;
  View views[] = {dst, index, a};
  needle::collapse(views, 3);
  const std::int64_t n = needle::numel(dst);
  launch(gather_elements<Word>, blocks_for(n, kThreads), kThreads, 0, stream,
         static_cast<std::uint64_t>(n), make_nest<3, std::uint64_t>(views),
         static_cast<Word*>(dst.data), static_cast<const std::int64_t*>(index.data),
         static_cast<const Word*>(a.data), along);
}

}  // namespace

void where(const Stream& stream, View dst, View mask, View a, View b) {
  View views[] = {dst, mask, a, b};
  needle::visit_computed(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (mask.dtype == needle::DType::boolean) return select<T, std::uint8_t>(stream, views);
    select<T, T>(stream, views);
  });
}

void gather(const Stream& stream, View dst, View a, View index, int axis) {
  switch (needle::itemsize(dst.dtype)) {
    case 1:
      return gather_words<std::uint8_t>(stream, dst, a, index, axis);
    case 2:
      return gather_words<std::uint16_t>(stream, dst, a, index, axis);
    case 4:
      return gather_words<std::uint32_t>(stream, dst, a, index, axis);
    default:
      return gather_words<std::uint64_t>(stream, dst, a, index, axis);
  }
}

}  // namespace NEEDLE_NS
