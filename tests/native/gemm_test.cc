// matmul of every instruction set against a triple loop in double: exact on whole numbers, within K
// u of random reals; any layout, batches, outputs that start as NaN and have guards around them,
// the same bits for any thread count and wherever a tile lies.
#include <omp.h>

#include <limits>

#include "kernel_testing.h"

namespace needle_test {
namespace {

constexpr bool kWhole = true;

template <class T>
void randomise(Array& a, bool whole) {
  for (std::int64_t i = 0; i < a.size(); ++i) {
    a.set<T>(i, static_cast<T>(whole ? static_cast<double>(draw(-4, 4))
                                     : std::normal_distribution<double>()(generator)));
  }
}

template <class T>
void poison(Array& a) {
  for (std::int64_t i = 0; i < a.size(); ++i) a.set<T>(i, std::numeric_limits<T>::quiet_NaN());
}

template <class T>
std::vector<T> values(const Array& a) {
  std::vector<T> all;
  for (std::int64_t i = 0; i < a.size(); ++i) all.push_back(a.get<T>(i));
  return all;
}

// c = a b for batch x (rows x depth, depth x columns); sums of |a b| beside it, for the bound.
struct Expected {
  std::vector<double> value, magnitude;
};

template <class T>
Expected product(const Array& a, const Array& b, std::int64_t batch, std::int64_t rows,
                 std::int64_t columns, std::int64_t depth) {
  const std::vector<T> left = values<T>(a), right = values<T>(b);
  Expected expected;
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        double sum = 0, magnitude = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          const double term =
              static_cast<double>(left[static_cast<std::size_t>((n * rows + i) * depth + k)]) *
              static_cast<double>(right[static_cast<std::size_t>((n * depth + k) * columns + j)]);
          sum += term;
          magnitude += std::fabs(term);
        }
        expected.value.push_back(sum);
        expected.magnitude.push_back(magnitude);
      }
    }
  }
  return expected;
}

template <class T>
std::vector<T> run(const needle::CpuKernels& kernels, const Array& a, const Array& b,
                   const Shape& shape, Layout layout, int threads) {
  Array c(dtype_of<T>, shape, layout);
  poison<T>(c);
  omp_set_num_threads(threads);
  kernels.matmul(c.view, a.view, b.view);
  std::vector<T> result = values<T>(c);
  CHECK(c.surroundings_untouched());
  return result;
}

template <class T>
bool equal_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void check_product(const Shape& batch, std::int64_t rows, std::int64_t columns, std::int64_t depth,
                   Layout layout, bool whole) {
  const auto with = [&](std::int64_t m, std::int64_t n) {
    Shape shape = batch;
    shape.push_back(m);
    shape.push_back(n);
    return shape;
  };
  Array a(dtype_of<T>, with(rows, depth), layout), b(dtype_of<T>, with(depth, columns), layout);
  randomise<T>(a, whole);
  randomise<T>(b, whole);
  const Expected expected = product<T>(a, b, count(batch), rows, columns, depth);
  const Layout out = layout == Layout::compact ? Layout::compact : Layout::strided;
  const double unit =
      static_cast<double>(depth + 2) * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (const needle::CpuKernels* kernels : instruction_sets()) {
    const std::vector<T> one = run<T>(*kernels, a, b, with(rows, columns), out, 1);
    bool right = one.size() == expected.value.size();
    for (std::size_t i = 0; right && i < one.size(); ++i) {
      const double error = std::fabs(static_cast<double>(one[i]) - expected.value[i]);
      right = whole ? error == 0 : error <= unit * expected.magnitude[i];
    }
    if (!CHECK(right)) {
      std::fprintf(stderr, "  %s: batch %lld, %lld x %lld x %lld\n", kernels->isa,
                   static_cast<long long>(count(batch)), static_cast<long long>(rows),
                   static_cast<long long>(columns), static_cast<long long>(depth));
    }
    for (const int threads : {2, 3}) {
      // The same layout of c matters to no element, a transposed one may change the order of its
      // sum.
      if (layout != Layout::compact) break;
      CHECK(equal_bits(one, run<T>(*kernels, a, b, with(rows, columns), out, threads)));
    }
  }
}

std::int64_t draw_size() {
  static constexpr std::int64_t sizes[] = {1,  1,  2,  3,  5,  6,  7,  8,  13, 14,
                                           15, 16, 17, 28, 31, 32, 33, 63, 65, 100};
  return sizes[draw(0, std::size(sizes) - 1)];
}

template <class T>
void random_products(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const Layout layout = static_cast<Layout>(draw(0, 2));
    Shape batch;
    for (std::int64_t d = draw(0, 2); d > 0; --d) batch.push_back(draw(1, 3));
    check_product<T>(batch, draw_size(), draw_size(), one_in(4) ? draw(200, 600) : draw_size(),
                     layout, !one_in(3));
  }
}

// Sizes around every block's edge, with all transpositions.
template <class T>
void large_products() {
  for (const Shape& s : {Shape{29, 1100, 258}, Shape{300, 70, 513}, Shape{1, 2100, 300},
                         Shape{2100, 1, 1030}, Shape{130, 600, 40}}) {
    check_product<T>({}, s[0], s[1], s[2], Layout::compact, kWhole);
    check_product<T>({}, s[0], s[1], s[2], Layout::strided, kWhole);
    check_product<T>({}, s[0], s[1], s[2], Layout::compact, !kWhole);
  }
  check_product<T>({5}, 60, 50, 70, Layout::compact, !kWhole);
  check_product<T>({3}, 200, 33, 90, Layout::compact, !kWhole);
  check_product<T>({}, 40, 80, 1024, Layout::compact, !kWhole);  // rows that share sets of L1
  check_product<T>({}, 40, 200, 1024, Layout::compact, kWhole);
}

// A row of C is the same bits alone among other rows, and a NaN stays in its row and column.
template <class T>
void place_does_not_matter() {
  constexpr std::int64_t rows = 50, columns = 90, depth = 300;
  Array a(dtype_of<T>, {rows, depth}), b(dtype_of<T>, {depth, columns});
  randomise<T>(a, !kWhole);
  randomise<T>(b, !kWhole);
  for (const needle::CpuKernels* kernels : instruction_sets()) {
    const std::vector<T> whole = run<T>(*kernels, a, b, {rows, columns}, Layout::compact, 2);
    for (const std::int64_t first : {1, 13, 30}) {
      View part = a.view;
      part.shape[0] = 17;
      part.data = static_cast<T*>(part.data) + first * depth;
      Array c(dtype_of<T>, {17, columns});
      poison<T>(c);
      kernels->matmul(c.view, part, b.view);
      CHECK(std::memcmp(c.view.data, whole.data() + first * columns, 17 * columns * sizeof(T)) ==
            0);
    }
    const T before = a.get<T>(7 * depth + 5);
    a.set<T>(7 * depth + 5, std::numeric_limits<T>::quiet_NaN());
    const std::vector<T> spoilt = run<T>(*kernels, a, b, {rows, columns}, Layout::compact, 1);
    a.set<T>(7 * depth + 5, before);
    bool only_its_row = true;
    for (std::size_t i = 0; i < spoilt.size(); ++i) {
      only_its_row &= i / columns == 7 ? spoilt[i] != spoilt[i] : same_bits(spoilt[i], whole[i]);
    }
    CHECK(only_its_row);
  }
}

}  // namespace
}  // namespace needle_test

int main() {
  using namespace needle_test;
  random_products<float>(150);
  random_products<double>(150);
  large_products<float>();
  large_products<double>();
  place_does_not_matter<float>();
  place_does_not_matter<double>();
  return summary("gemm_test");
}
