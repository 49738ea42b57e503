// where, gather, scatter_add, cumsum, argmax and argmin of every instruction set: exact values in
// every layout, NaN, and independence of the number of threads.
#include <omp.h>

#include "kernel_testing.h"

using namespace needle_test;
using needle::ArgOp;
using needle::CpuKernels;

namespace {

// Row-major number of element i of `shape` when its index along axis becomes `place` in a shape
// whose size there is n.
std::int64_t moved(std::int64_t i, const Shape& shape, std::size_t axis, std::int64_t place,
                   std::int64_t n) {
  std::int64_t inner = 1;
  for (std::size_t d = axis + 1; d < shape.size(); ++d) inner *= shape[d];
  return (i / (inner * shape[axis]) * n + place) * inner + i % inner;
}

template <class T>
void randomize(Array& a) {
  for (std::int64_t i = 0; i < a.size(); ++i) a.set(i, static_cast<T>(draw(-9, 9)));
}

template <class T, class M>
void where_layouts(const CpuKernels& kernels, const Shape& shape) {
  const DType mask_dtype = sizeof(M) == 1 ? DType::boolean : dtype_of<T>;
  Array dst(dtype_of<T>, shape, Layout::strided), mask(mask_dtype, shape, Layout::broadcast),
      a(dtype_of<T>, shape, Layout::broadcast), b(dtype_of<T>, shape, Layout::broadcast);
  randomize<T>(a);
  randomize<T>(b);
  for (std::int64_t i = 0; i < mask.size(); ++i) {
    mask.set(i, static_cast<M>(sizeof(M) == 1 ? draw(0, 1) : draw(-1, 1)));
  }
  if (sizeof(M) > 1 && mask.size() > 0) mask.set(0, static_cast<M>(NAN));  // is not 0
  kernels.where(dst.view, mask.view, a.view, b.view);
  bool same = true;
  for (std::int64_t i = 0; i < dst.size(); ++i) {
    same = same && dst.get<T>(i) == (mask.get<M>(i) != M(0) ? a.get<T>(i) : b.get<T>(i));
  }
  CHECK(same && dst.surroundings_untouched());
}

template <class T>
void index_layouts(const CpuKernels& kernels, const Shape& shape, std::size_t axis) {
  const std::int64_t n = draw(1, 9);
  Shape wide = shape;
  wide[axis] = n;
  Array taken(dtype_of<T>, shape, Layout::strided), from(dtype_of<T>, wide, Layout::broadcast),
      index(DType::int64, shape, Layout::broadcast), add(dtype_of<T>, shape, Layout::broadcast),
      sums(dtype_of<T>, wide, Layout::strided);
  randomize<T>(from);
  randomize<T>(add);
  for (std::int64_t i = 0; i < index.size(); ++i) index.set(i, draw(0, n - 1));
  for (std::int64_t i = 0; i < sums.size(); ++i) sums.set(i, T(0));
  kernels.gather(taken.view, from.view, index.view, static_cast<int>(axis));
  kernels.scatter_add(sums.view, add.view, index.view, static_cast<int>(axis));
  bool same = true;
  std::vector<T> expected(sums.positions.size(), T(0));
  for (std::int64_t i = 0; i < taken.size(); ++i) {
    const std::int64_t k = moved(i, shape, axis, index.get<std::int64_t>(i), n);
    same = same && taken.get<T>(i) == from.get<T>(k);
    expected[static_cast<std::size_t>(k)] += add.get<T>(i);
  }
  for (std::int64_t k = 0; k < sums.size(); ++k) {
    same = same && sums.get<T>(k) == expected[static_cast<std::size_t>(k)];
  }
  CHECK(same && taken.surroundings_untouched() && sums.surroundings_untouched());
}

template <class T>
void lane_layouts(const CpuKernels& kernels, const Shape& shape, std::size_t axis) {
  Shape one = shape;
  one[axis] = 1;
  const bool reversed = one_in(2);
  const auto op = one_in(2) ? ArgOp::argmax : ArgOp::argmin;
  Array a(dtype_of<T>, shape, Layout::broadcast), sums(dtype_of<T>, shape, Layout::strided),
      first(DType::int64, one, Layout::strided);
  randomize<T>(a);
  if (a.size() > 0 && one_in(3)) a.set(draw(0, a.size() - 1), static_cast<T>(NAN));
  kernels.cumsum(sums.view, a.view, static_cast<int>(axis), reversed);
  kernels.arg_reduce(op, first.view, a.view, static_cast<int>(axis));
  bool same = true;
  for (std::int64_t o = 0; o < first.size(); ++o) {
    T sum = 0, best = a.get<T>(moved(o, one, axis, 0, shape[axis]));
    std::int64_t place = 0;
    for (std::int64_t k = 0; k < shape[axis]; ++k) {
      const std::int64_t i = reversed ? shape[axis] - 1 - k : k;
      sum += a.get<T>(moved(o, one, axis, i, shape[axis]));
      const T got = sums.get<T>(moved(o, one, axis, i, shape[axis]));
      same = same && (got == sum || (got != got && sum != sum));
      const T x = a.get<T>(moved(o, one, axis, k, shape[axis]));
      const bool better = op == ArgOp::argmax ? x > best : x < best;
      if (better || (x != x && best == best)) {
        best = x;
        place = k;
      }
    }
    same = same && first.get<std::int64_t>(o) == place;
  }
  CHECK(same && sums.surroundings_untouched() && first.surroundings_untouched());
}

// Random numbers, whose sums round: the threads change no bit.
template <class T>
void threads(const CpuKernels& kernels, const Shape& shape, int axis) {
  Shape wide = shape;
  wide[static_cast<std::size_t>(axis)] = 7;
  Array a(dtype_of<T>, shape), index(DType::int64, shape), sums(dtype_of<T>, shape),
      added(dtype_of<T>, wide);
  for (std::int64_t i = 0; i < a.size(); ++i) {
    a.set(i, static_cast<T>(draw(1, 1 << 20)) / T(1 << 20));
    index.set(i, draw(0, 6));
  }
  std::vector<unsigned char> expected[2];
  const int before = omp_get_max_threads();
  for (const int count : {1, 2, 5}) {
    omp_set_num_threads(count);
    for (std::int64_t i = 0; i < added.size(); ++i) added.set(i, T(0));
    kernels.cumsum(sums.view, a.view, axis, false);
    kernels.scatter_add(added.view, a.view, index.view, axis);
    if (count == 1) {
      expected[0] = sums.bytes;
      expected[1] = added.bytes;
    }
    CHECK(sums.bytes == expected[0] && added.bytes == expected[1]);
  }
  omp_set_num_threads(before);
}

template <class T>
void all(const CpuKernels& kernels, const Shape& shape) {
  where_layouts<T, T>(kernels, shape);
  where_layouts<T, std::uint8_t>(kernels, shape);
  if (shape.empty()) return;
  const auto axis = static_cast<std::size_t>(draw(0, static_cast<std::int64_t>(shape.size()) - 1));
  index_layouts<T>(kernels, shape, axis);
  lane_layouts<T>(kernels, shape, axis);
}

}  // namespace

int main() {
  for (const CpuKernels* kernels : instruction_sets()) {
    for (int i = 0; i < 1500; ++i) {
      all<float>(*kernels, random_shape());
      all<double>(*kernels, random_shape());
    }
    for (const Shape& shape : {Shape{100000}, {3, 30001}, {30001, 3}, {200, 7, 60}}) {
      for (int i = 0; i < 4; ++i) all<float>(*kernels, shape);
    }
    threads<float>(*kernels, {300, 700}, 0);
    threads<float>(*kernels, {300, 700}, 1);
    threads<double>(*kernels, {50, 40, 60}, 1);
  }
  return summary("selection_test");
}
