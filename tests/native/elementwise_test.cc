// unary, binary and binary_scalar of every instruction set: values against scalar formulas written
// here, every layout against the compact one bit by bit (NaN apart), and independence of the number
// of threads.
#include <omp.h>

#include <cmath>

#include "kernel_testing.h"

using namespace needle_test;
using needle::BinaryOp;
using needle::CpuKernels;
using needle::UnaryOp;

namespace {

constexpr int kUnary = static_cast<int>(UnaryOp::count),
              kBinary = static_cast<int>(BinaryOp::count);

template <class T>
T expected(BinaryOp op, T a, T b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      return a / b;
    case BinaryOp::maximum:
      return std::isnan(a) || std::isnan(b) ? static_cast<T>(NAN) : a > b ? a : b;
    case BinaryOp::minimum:
      return std::isnan(a) || std::isnan(b) ? static_cast<T>(NAN) : a < b ? a : b;
    case BinaryOp::equal:
      return a == b;
    case BinaryOp::not_equal:
      return a != b;
    case BinaryOp::less:
      return a < b;
    case BinaryOp::less_equal:
      return a <= b;
    case BinaryOp::greater:
      return a > b;
    case BinaryOp::greater_equal:
      return a >= b;
    default:  // power: maths_test
      return 0;
  }
}

template <class T>
T special(std::int64_t i) {
  static const double values[] = {0.0,    -0.0, 1.0,   -1.0,     0.5,       -2.5, 1e-40, -1e-40,
                                  1e-310, 3e38, -3e38, INFINITY, -INFINITY, NAN,  1e300, 7.0};
  return static_cast<T>(values[i % 16]);
}

// Every pair of special values.
template <class T>
void values(const CpuKernels& kernels) {
  Array a(dtype_of<T>, {16, 16}), b(dtype_of<T>, {16, 16}), out(dtype_of<T>, {16, 16});
  for (std::int64_t i = 0; i < a.size(); ++i) {
    a.set(i, special<T>(i / 16));
    b.set(i, special<T>(i));
  }
  for (int op = 0; op < kBinary; ++op) {
    const auto binary = static_cast<BinaryOp>(op);
    if (binary == BinaryOp::power) continue;
    kernels.binary(binary, out.view, a.view, b.view);
    for (std::int64_t i = 0; i < a.size(); ++i) {
      CHECK(same_value(out.get<T>(i), expected(binary, a.get<T>(i), b.get<T>(i))));
    }
    for (int k = 0; k < 16; ++k) {
      const T s = special<T>(k);
      for (const bool reversed : {false, true}) {
        kernels.binary_scalar(binary, out.view, a.view, static_cast<double>(s), reversed);
        for (std::int64_t i = 0; i < a.size(); ++i) {
          const T x = a.get<T>(i);
          CHECK(same_value(out.get<T>(i),
                           reversed ? expected(binary, s, x) : expected(binary, x, s)));
        }
      }
    }
  }
  kernels.unary(UnaryOp::negate, out.view, b.view);
  for (std::int64_t i = 0; i < b.size(); ++i) CHECK(same_value(out.get<T>(i), -b.get<T>(i)));
  kernels.unary(UnaryOp::relu, out.view, b.view);
  for (std::int64_t i = 0; i < b.size(); ++i) {
    CHECK(same_value(out.get<T>(i), b.get<T>(i) < 0 ? T(0) : b.get<T>(i)));
  }
  kernels.unary(UnaryOp::abs, out.view, b.view);
  for (std::int64_t i = 0; i < b.size(); ++i) {
    CHECK(same_value(out.get<T>(i), std::fabs(b.get<T>(i))));
  }
  kernels.unary(UnaryOp::sign, out.view, b.view);
  for (std::int64_t i = 0; i < b.size(); ++i) {
    const T x = b.get<T>(i);
    CHECK(same_value(out.get<T>(i), x == 0 || std::isnan(x) ? x : std::copysign(T(1), x)));
  }
}

template <class T>
void randomize(Array& a) {
  for (std::int64_t i = 0; i < a.size(); ++i) {
    a.set(i, one_in(20) ? special<T>(draw(0, 15)) : static_cast<T>(draw(-4000, 4000)) / T(512));
  }
}

// A compact copy; strided and broadcast arrays go through this into the reference call.
template <class T>
void gather(const Array& from, Array& to) {
  for (std::int64_t i = 0; i < from.size(); ++i) to.set(i, from.get<T>(i));
}

// Of two NaN operands either may be the result: the compiler orders them differently from loop to
// loop, so a NaN's sign and payload are not compared.
template <class T>
void expect_same(Array& out, const Array& reference) {
  bool same = true;
  for (std::int64_t i = 0; i < out.size(); ++i)
    same = same && same_value(out.get<T>(i), reference.get<T>(i));
  CHECK(same);
  CHECK(out.surroundings_untouched());
}

template <class T>
void layouts(const CpuKernels& kernels) {
  const Shape shape = random_shape();
  Array a(dtype_of<T>, shape, Layout::broadcast), b(dtype_of<T>, shape, Layout::broadcast);
  Array compact_a(dtype_of<T>, shape), compact_b(dtype_of<T>, shape), reference(dtype_of<T>, shape);
  randomize<T>(a);
  randomize<T>(b);
  gather<T>(a, compact_a);
  gather<T>(b, compact_b);
  const double s = static_cast<double>(special<T>(draw(0, 15)));
  {
    const auto op = static_cast<UnaryOp>(draw(0, kUnary - 1));
    Array out(dtype_of<T>, shape, Layout::strided);
    kernels.unary(op, reference.view, compact_a.view);
    kernels.unary(op, out.view, a.view);
    expect_same<T>(out, reference);
  }
  const auto op = static_cast<BinaryOp>(draw(0, kBinary - 1));
  {
    Array out(dtype_of<T>, shape, Layout::strided);
    kernels.binary(op, reference.view, compact_a.view, compact_b.view);
    kernels.binary(op, out.view, a.view, b.view);
    expect_same<T>(out, reference);
  }
  const bool reversed = one_in(2);
  Array out(dtype_of<T>, shape, Layout::strided);
  kernels.binary_scalar(op, out.view, a.view, s, reversed);
  for (std::int64_t i = 0; i < compact_b.size(); ++i) compact_b.set(i, static_cast<T>(s));
  reversed ? kernels.binary(op, reference.view, compact_b.view, compact_a.view)
           : kernels.binary(op, reference.view, compact_a.view, compact_b.view);
  expect_same<T>(out, reference);
}

// Large enough for several threads and, compact, for stores past the caches; an odd number of rows
// and columns.
template <class T>
void threads(const CpuKernels& kernels) {
  const Shape shape = {1031, 2111};
  Array a(dtype_of<T>, shape), b(dtype_of<T>, shape), one(dtype_of<T>, shape),
      many(dtype_of<T>, shape);
  for (std::int64_t i = 0; i < a.size(); ++i) {
    a.set(i, static_cast<T>(i % 1013) / T(100));
    b.set(i, static_cast<T>(i % 509) / T(-50));
  }
  for (const bool transposed : {false, true}) {
    View from = a.view, with = b.view, to_one = one.view, to_many = many.view;
    if (transposed) {  // (1031, 1031) blocks whose operand lies the other way
      for (View* v : {&from, &with, &to_one, &to_many}) v->shape[1] = 1031;
      std::swap(with.strides[0], with.strides[1]);
    }
    const int before = omp_get_max_threads();
    const auto check = [&](auto run) {
      omp_set_num_threads(1);
      run(to_one);
      omp_set_num_threads(5);
      run(to_many);
      CHECK(one.bytes == many.bytes);
    };
    check([&](const View& out) { kernels.unary(UnaryOp::tanh, out, with); });
    check([&](const View& out) { kernels.binary(BinaryOp::power, out, from, with); });
    check([&](const View& out) { kernels.binary(BinaryOp::divide, out, from, with); });
    check(
        [&](const View& out) { kernels.binary_scalar(BinaryOp::subtract, out, with, 0.25, true); });
    omp_set_num_threads(before);
  }
  // Stores past the caches give the bits of ordinary ones; so does an output that is not aligned
  // for them.
  Array shifted(dtype_of<T>, {count(shape) + 3});
  View whole = a.view, moved = shifted.view;
  whole.ndim = moved.ndim = 1;
  whole.shape[0] = moved.shape[0] = a.size();
  whole.strides[0] = moved.strides[0] = 1;
  moved.data = static_cast<T*>(moved.data) + 3;
  kernels.unary(UnaryOp::exp, moved, whole);
  for (std::int64_t begin = 0; begin < a.size(); begin += 5000) {
    View part = whole, out = one.view;
    part.data = static_cast<T*>(part.data) + begin;
    out.ndim = 1;
    part.shape[0] = out.shape[0] = std::min<std::int64_t>(5000, a.size() - begin);
    out.strides[0] = 1;
    kernels.unary(UnaryOp::exp, out, part);
    CHECK(std::memcmp(out.data, static_cast<T*>(moved.data) + begin,
                      static_cast<std::size_t>(part.shape[0]) * sizeof(T)) == 0);
  }
}

}  // namespace

int main() {
  for (const CpuKernels* kernels : instruction_sets()) {
    values<float>(*kernels);
    values<double>(*kernels);
    for (int i = 0; i < 1500; ++i) {
      layouts<float>(*kernels);
      layouts<double>(*kernels);
    }
    threads<float>(*kernels);
    threads<double>(*kernels);
  }
  return summary("elementwise_test");
}
