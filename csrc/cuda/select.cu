// Elements chosen by a mask (where) or by index along an axis (gather): a thread per element.
#include "kernels.h"
#include "nest.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::View;

constexpr unsigned kThreads = 256;

// Whether the bits of a bool, or of a float of the operands' size, are not those of a zero.
template <class M>
NEEDLE_HD bool chosen(M mask) {
  return sizeof(M) == 1 ? mask != 0 : static_cast<M>(mask << 1) != 0;
}

template <class Word, class M, class I>
__global__ void __launch_bounds__(kThreads)
    select_elements(I n, const __grid_constant__ Nest<4, I> nest, Word* dst, const M* mask,
                    const Word* a, const Word* b) {
  const I i = static_cast<I>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const auto at = nest.at(i);
  dst[at.of[0]] = chosen(mask[at.of[1]]) ? a[at.of[2]] : b[at.of[3]];
}

template <class Word, class M>
void select(const Stream& stream, View (&views)[4]) {
  needle::collapse(views, 4);
  const std::int64_t n = needle::numel(views[0]);
  visit_index(n, [&](auto zero) {
    using I = decltype(zero);
    launch(select_elements<Word, M, I>, blocks_for(n, kThreads), kThreads, 0, stream,
           static_cast<I>(n), make_nest<4, I>(views), static_cast<Word*>(views[0].data),
           static_cast<const M*>(views[1].data), static_cast<const Word*>(views[2].data),
           static_cast<const Word*>(views[3].data));
  });
}

// The nest walks dst, index and a, in which the axis stands still; `along` is a's stride there.
template <class Word, class I>
__global__ void __launch_bounds__(kThreads)
    gather_elements(I n, const __grid_constant__ Nest<3, I> nest, Word* dst,
                    const std::int64_t* index, const Word* a, std::int64_t along) {
  const I i = static_cast<I>(blockIdx.x) * kThreads + threadIdx.x;
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
  visit_index(n, [&](auto zero) {
    using I = decltype(zero);
    launch(gather_elements<Word, I>, blocks_for(n, kThreads), kThreads, 0, stream,
           static_cast<I>(n), make_nest<3, I>(views), static_cast<Word*>(dst.data),
           static_cast<const std::int64_t*>(index.data), static_cast<const Word*>(a.data), along);
  });
}

}  // namespace

void where(const Stream& stream, View dst, View mask, View a, View b) {
  View views[] = {dst, mask, a, b};
  visit_words(needle::itemsize(dst.dtype), [&](auto zero) {
    using Word = decltype(zero);
    if (mask.dtype == needle::DType::boolean) return select<Word, std::uint8_t>(stream, views);
    select<Word, Word>(stream, views);
  });
}

void gather(const Stream& stream, View dst, View a, View index, int axis) {
  visit_words(needle::itemsize(dst.dtype),
              [&](auto zero) { gather_words<decltype(zero)>(stream, dst, a, index, axis); });
}

}  // namespace NEEDLE_NS
