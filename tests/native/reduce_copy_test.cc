// reduce, copy and fill of every instruction set: exact values in every layout and over any axes,
// rounding errors of long sums, NaN, and independence of the number of threads.
#include <omp.h>

#include <cmath>

#include "kernel_testing.h"

using namespace needle_test;
using needle::CpuKernels;
using needle::ReduceOp;

namespace {

// Index of the output element that input element i goes into, both in row-major order.
std::int64_t target(std::int64_t i, const Shape& shape, const std::vector<bool>& reduced) {
  std::int64_t out = 0, scale = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    const std::int64_t index = i % shape[d];
    i /= shape[d];
    if (reduced[d]) continue;
    out += index * scale;
    scale *= shape[d];
  }
  return out;
}

// Whole numbers: sums are exact, so any element that is missed or counted twice shows.
template <class T>
void reduce_layouts(const CpuKernels& kernels, const Shape& shape) {
  std::vector<bool> reduced;
  Shape out_shape = shape;
  for (std::int64_t& s : out_shape) {
    reduced.push_back(one_in(2));
    if (reduced.back()) s = 1;
  }
  Array a(dtype_of<T>, shape, Layout::broadcast), sum(dtype_of<T>, out_shape, Layout::strided),
      max(dtype_of<T>, out_shape, Layout::strided), min(dtype_of<T>, out_shape, Layout::strided);
  for (std::int64_t i = 0; i < a.size(); ++i) a.set(i, static_cast<T>(draw(-9, 9)));
  if (a.size() > 0 && one_in(3)) a.set(draw(0, a.size() - 1), static_cast<T>(NAN));
  std::vector<T> sums(sum.positions.size(), T(0)),
      largest(sum.positions.size(), -static_cast<T>(INFINITY)),
      smallest(sum.positions.size(), static_cast<T>(INFINITY));
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const auto o = static_cast<std::size_t>(target(i, shape, reduced));
    const T x = a.get<T>(i);
    sums[o] += x;
    largest[o] =
        std::isnan(largest[o]) || std::isnan(x) ? static_cast<T>(NAN) : std::max(largest[o], x);
    smallest[o] = std::isnan(largest[o]) ? largest[o] : std::min(smallest[o], x);
  }
  kernels.reduce(ReduceOp::sum, sum.view, a.view);
  kernels.reduce(ReduceOp::max, max.view, a.view);
  kernels.reduce(ReduceOp::min, min.view, a.view);
  bool same = true;
  for (std::int64_t o = 0; o < sum.size(); ++o) {
    const auto k = static_cast<std::size_t>(o);
    const auto equal = [](T got, T want) { return got == want || (got != got && want != want); };
    same = same && equal(sum.get<T>(o), sums[k]) && equal(max.get<T>(o), largest[k]) &&
           equal(min.get<T>(o), smallest[k]);
  }
  CHECK(same);
  CHECK(sum.surroundings_untouched() && max.surroundings_untouched() &&
        min.surroundings_untouched());
  if (a.size() == 0) return;
  // Signs alone: a product is exact in any order, and an element too many or too few turns it.
  for (std::int64_t i = 0; i < a.size(); ++i) a.set(i, static_cast<T>(one_in(2) ? -1 : 1));
  Array product(dtype_of<T>, Shape(shape.size(), 1));
  T expected = 1;
  for (std::int64_t i = 0; i < a.size(); ++i) expected *= a.get<T>(i);
  kernels.reduce(ReduceOp::prod, product.view, a.view);
  CHECK(product.get<T>(0) == expected);
}

// Random sums of n, along each axis: the error grows like log n, and the threads change no bit.
template <class T>
void reduce_rounding(const CpuKernels& kernels, std::int64_t rows, std::int64_t columns) {
  Array a(dtype_of<T>, {rows, columns});
  for (std::int64_t i = 0; i < a.size(); ++i)
    a.set(i, static_cast<T>(draw(1, 1 << 20)) / T(1 << 20));
  for (const auto& [keep_rows, keep_columns] :
       {std::pair{false, false}, {false, true}, {true, false}}) {
    const Shape shape = {keep_rows ? rows : 1, keep_columns ? columns : 1};
    Array out(dtype_of<T>, shape), again(dtype_of<T>, shape);
    kernels.reduce(ReduceOp::sum, out.view, a.view);
    const int before = omp_get_max_threads();
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      kernels.reduce(ReduceOp::sum, again.view, a.view);
      CHECK(out.bytes == again.bytes);
    }
    omp_set_num_threads(before);
    std::vector<long double> exact(out.positions.size(), 0);
    for (std::int64_t i = 0; i < a.size(); ++i) {
      exact[static_cast<std::size_t>(target(i, {rows, columns}, {!keep_rows, !keep_columns}))] +=
          a.get<T>(i);
    }
    const double terms = static_cast<double>(a.size()) / static_cast<double>(out.size());
    const double allowed =
        (32 + std::log2(terms)) * 0.5 * static_cast<double>(std::numeric_limits<T>::epsilon());
    double worst = 0;
    for (std::int64_t o = 0; o < out.size(); ++o) {
      const long double e = exact[static_cast<std::size_t>(o)];
      worst = std::max(worst, static_cast<double>(std::fabs((out.get<T>(o) - e) / e)));
    }
    CHECK(worst <= allowed);
  }
}

void empty(const CpuKernels& kernels) {
  Array a(DType::float32, {3, 0}), out(DType::float32, {3, 1});
  kernels.reduce(ReduceOp::sum, out.view, a.view);
  for (std::int64_t i = 0; i < 3; ++i) CHECK(same_bits(out.get<float>(i), 0.0f));
}

constexpr DType kDTypes[] = {DType::float32, DType::float64, DType::int32,   DType::int64,
                             DType::boolean, DType::float16, DType::bfloat16};

// An element as its bytes.
std::uint64_t raw(const Array& a, std::int64_t i) {
  std::uint64_t value = 0;
  const std::size_t item = needle::itemsize(a.view.dtype);
  std::memcpy(
      &value,
      a.bytes.data() + static_cast<std::size_t>(a.positions[static_cast<std::size_t>(i)]) * item,
      item);
  return value;
}

void randomize(Array& a) {
  needle::visit_dtype(a.view.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int64_t i = 0; i < a.size(); ++i) {
      a.set(i, needle::Convert<T>::from(static_cast<double>(draw(-5000, 5000)) / 16));
    }
  });
}

void copy_layouts(const CpuKernels& kernels, DType to, DType from, const Shape& shape) {
  Array a(from, shape, Layout::broadcast), out(to, shape, Layout::strided);
  randomize(a);
  kernels.copy(out.view, a.view);
  bool same = true;
  needle::visit_dtype(to, [&](auto t) {
    needle::visit_dtype(from, [&](auto f) {
      using To = decltype(t);
      using From = decltype(f);
      for (std::int64_t i = 0; i < a.size(); ++i) {
        const To expected = needle::Convert<To>::from(a.get<From>(i));
        std::uint64_t bits = 0;
        std::memcpy(&bits, &expected, sizeof expected);
        same = same && bits == raw(out, i);
      }
    });
  });
  CHECK(same);
  CHECK(out.surroundings_untouched());
}

void fill_layouts(const CpuKernels& kernels, DType dtype) {
  const needle::Scalar scalars[] = {
      {0, (std::int64_t{1} << 40) + 1, true}, {0, -3, true}, {-0.0, 0, false}, {2.75, 0, false}};
  for (const needle::Scalar& s : scalars) {
    Array out(dtype, random_shape(), Layout::strided);
    kernels.fill(out.view, s);
    needle::visit_dtype(dtype, [&](auto zero) {
      using T = decltype(zero);
      const T expected =
          s.integral ? needle::Convert<T>::from(s.integer) : needle::Convert<T>::from(s.real);
      bool same = true;
      for (std::int64_t i = 0; i < out.size(); ++i)
        same = same && same_bits(out.get<T>(i), expected);
      CHECK(same);
    });
    CHECK(out.surroundings_untouched());
  }
}

// Large copies: past the caches, and transposed in parallel.
void copy_large(const CpuKernels& kernels) {
  for (const DType dtype : {DType::float32, DType::float64, DType::boolean}) {
    Array a(dtype, {1501, 1403}), straight(dtype, {1501, 1403}), turned(dtype, {1403, 1501});
    randomize(a);
    kernels.copy(straight.view, a.view);
    CHECK(straight.bytes == a.bytes);
    View from = a.view;
    std::swap(from.shape[0], from.shape[1]);
    std::swap(from.strides[0], from.strides[1]);
    kernels.copy(turned.view, from);
    bool same = true;
    for (std::int64_t i = 0; i < a.size(); ++i)
      same = same && raw(turned, i % 1403 * 1501 + i / 1403) == raw(a, i);
    CHECK(same);
  }
}

}  // namespace

int main() {
  for (const CpuKernels* kernels : instruction_sets()) {
    for (int i = 0; i < 3000; ++i) {
      reduce_layouts<float>(*kernels, random_shape());
      reduce_layouts<double>(*kernels, random_shape());
    }
    for (const Shape& shape :
         {Shape{400000}, {3, 130001}, {130001, 3}, {1000, 7, 60}, {70000, 8}, {2, 300, 700}}) {
      for (int i = 0; i < 4; ++i) reduce_layouts<float>(*kernels, shape);
    }
    reduce_rounding<float>(*kernels, 700, 900);
    reduce_rounding<double>(*kernels, 700, 900);
    reduce_rounding<float>(*kernels, 3, 300001);
    reduce_rounding<float>(*kernels, 300001, 3);
    empty(*kernels);
    for (int i = 0; i < 400; ++i)
      copy_layouts(*kernels, kDTypes[i % 7], kDTypes[i % 7], random_shape());
    for (const DType to : kDTypes) {
      for (const DType from : kDTypes) {
        for (int i = 0; i < 6; ++i) copy_layouts(*kernels, to, from, random_shape());
      }
      for (int i = 0; i < 10; ++i) fill_layouts(*kernels, to);
    }
    copy_large(*kernels);
  }
  return summary("reduce_copy_test");
}
