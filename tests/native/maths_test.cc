// The maths of every instruction set against the C library in wider precision: the
// largest error in units of the last place over a dense sample of bit patterns, printed and held
// against a limit.
#include <cfloat>
#include <cmath>

#include "kernel_testing.h"

using namespace needle_test;

namespace {

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

// |got - exact| in units of the last place of exact; infinite where only one of them is special.
template <class T>
double ulps(T got, Wide<T> exact) {
  if (exact != exact || got != got) return (exact != exact) == (got != got) ? 0 : INFINITY;
  constexpr int digits = std::numeric_limits<T>::digits,
                lowest = std::numeric_limits<T>::min_exponent;
  if (std::isinf(exact)) return got == static_cast<T>(exact) ? 0 : INFINITY;
  const int exponent = exact == 0 ? lowest : std::max(std::ilogb(exact) + 1, lowest);
  const Wide<T> unit = std::ldexp(Wide<T>(1), exponent - digits);
  if (std::isinf(got)) {  // stands for the power of two above the largest number
    const Wide<T> value =
        std::copysign(std::ldexp(Wide<T>(1), std::numeric_limits<T>::max_exponent), Wide<T>(got));
    return exact / value >= 1 ? 0 : static_cast<double>(std::fabs(value - exact) / unit);
  }
  if (exact == 0 && std::signbit(exact) != std::signbit(got)) return INFINITY;
  return static_cast<double>(std::fabs(static_cast<Wide<T>>(got) - exact) / unit);
}

template <class T>
struct Samples {
  std::vector<T> x, y;
};

template <class T, class Kernel, class Reference>
void measure(const char* isa, const char* name, const Samples<T>& samples, double limit,
             Kernel kernel, Reference reference) {
  const auto n = static_cast<std::int64_t>(samples.x.size());
  std::vector<T> x = samples.x, y = samples.y, got(samples.x.size());
  const auto view = [&](std::vector<T>& v) { return View{v.data(), dtype_of<T>, 1, {n}, {1}}; };
  kernel(view(got), view(x), view(y));
  double worst = 0;
  T worst_x = 0, worst_y = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const T second = y.empty() ? T(0) : y[i];
    const double error =
        ulps(got[i], reference(static_cast<Wide<T>>(x[i]), static_cast<Wide<T>>(second)));
    if (error > worst) {
      worst = error;
      worst_x = x[i];
      worst_y = second;
    }
  }
  std::printf("%-10s %-9s float%zu  max %.3f ulp at %a", isa, name, sizeof(T) * 8, worst,
              static_cast<double>(worst_x));
  if (!y.empty()) std::printf(", %a", static_cast<double>(worst_y));
  std::printf("  (%zu samples, limit %.2f)\n", got.size(), limit);
  CHECK(worst <= limit);
}

const double kSpecial[] = {0.0,
                           -0.0,
                           1.0,
                           -1.0,
                           2.0,
                           -2.0,
                           3.0,
                           -3.0,
                           0.5,
                           -0.5,
                           2.5,
                           -2.5,
                           INFINITY,
                           -INFINITY,
                           NAN,
                           1e-40,
                           -1e-40,
                           1e-310,
                           -1e-310,
                           1e30,
                           -1e30,
                           1e300,
                           -1e300,
                           8388607.0,
                           -8388607.0,
                           16777217.0,
                           9007199254740993.0,
                           88.72284,
                           88.73,
                           -103.97,
                           -104.0,
                           709.78271289338397,
                           709.79,
                           -745.1332,
                           -745.14,
                           FLT_MIN,
                           FLT_MAX,
                           -FLT_MAX,
                           DBL_MIN,
                           DBL_MAX,
                           -DBL_MAX,
                           1.4e-45,
                           4.94e-324,
                           0.99999994,
                           1.0000001,
                           -0.99999994};

Samples<float> float_patterns() {
  Samples<float> s;
  for (std::uint64_t u = 0; u < (1ull << 32); u += 257) {
    s.x.push_back(needle::bits_float(static_cast<std::uint32_t>(u)));
  }
  for (const double v : kSpecial) s.x.push_back(static_cast<float>(v));
  return s;
}

template <class T>
T any_pattern() {
  T value;
  const std::uint64_t u = generator();
  std::memcpy(&value, &u, sizeof value);
  return value;
}

// Any bit pattern, and in equal number values where the function is neither flat nor overflowing.
Samples<double> double_patterns(double low, double high) {
  Samples<double> s;
  std::uniform_real_distribution<double> uniform(low, high);
  for (int i = 0; i < 300000; ++i) {
    s.x.push_back(any_pattern<double>());
    s.x.push_back(uniform(generator));
    s.x.push_back(std::ldexp(uniform(generator), -static_cast<int>(draw(0, 39))));
  }
  for (const double v : kSpecial) s.x.push_back(v);
  return s;
}

// Bases and exponents whose power is often finite; every pair of special values.
template <class T>
Samples<T> pairs(int n) {
  Samples<T> s;
  const T scale = std::is_same_v<T, float> ? T(100) : T(750);
  std::uniform_real_distribution<T> unit(T(-1), T(1));
  for (int i = 0; i < n; ++i) {
    const T x = std::ldexp(unit(generator), static_cast<int>(draw(0, 39)) - 20);
    const T y = unit(generator) * scale / (std::fabs(std::log(std::fabs(x))) + T(1e-3));
    s.x.insert(s.x.end(), {std::fabs(x), x, any_pattern<T>()});
    s.y.insert(s.y.end(), {y, std::trunc(y), any_pattern<T>()});
  }
  for (const double x : kSpecial) {
    for (const double y : kSpecial) {
      s.x.push_back(static_cast<T>(x));
      s.y.push_back(static_cast<T>(y));
    }
  }
  return s;
}

// The functions that the C library lacks, in ways that lose nothing where the argument is wide.

template <class W>
W sigmoid(W x) {
  const W e = std::exp(-std::fabs(x));
  return (x < 0 ? e : W(1)) / (1 + e);
}

template <class W>
W softplus(W x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

// x F(x), from F(-|x|).
template <class W>
W times_distribution(W x, W tail) {
  if (std::isinf(x)) return x > 0 ? x : W(-0.0);
  return x > 0 ? x - x * tail : x * tail;
}

template <class W>
W silu(W x) {
  return times_distribution(x, sigmoid(-std::fabs(x)));
}

template <class W>
W gelu(W x) {
  const W high = std::sqrt(W(0.5)), low = -std::fma(high, high, W(-0.5)) / (2 * high);
  const W t = std::fabs(x) * high, rest = std::fma(std::fabs(x), high, -t) + std::fabs(x) * low;
  const W slope = W(2 / 1.7724538509055160272981674833411451827975L) * std::exp(-t * t);
  return times_distribution(x, std::isinf(x) ? 0 : (std::erfc(t) - slope * rest) / 2);
}

template <class W>
W gelu_tanh(W x) {
  const W size = std::fmin(std::fabs(x), W(1000));
  const W w = 2 * std::sqrt(2 / W(3.14159265358979323846264338327950288L)) *
              std::fma(W(0.044715L), size * size * size, size);
  return times_distribution(x, x != x ? x : sigmoid(-w));
}

template <class T>
struct Function {
  needle::UnaryOp op;
  const char* name;
  double limit;  // of the error in units of the last place
  Wide<T> (*exact)(Wide<T>);
  double low, high;  // where the function is neither flat nor overflowing
};

template <class T>
std::vector<Function<T>> functions() {
  using W = Wide<T>;
  using Op = needle::UnaryOp;
  return {
      {Op::exp, "exp", 1.5, [](W x) { return std::exp(x); }, -746, 710},
      {Op::expm1, "expm1", 2.0, [](W x) { return std::expm1(x); }, -40, 710},
      {Op::log, "log", 1.5, [](W x) { return std::log(x); }, 0, 4},
      {Op::log1p, "log1p", 2.0, [](W x) { return std::log1p(x); }, -1, 4},
      {Op::sqrt, "sqrt", 0.501, [](W x) { return std::sqrt(x); }, 0, 4},
      {Op::rsqrt, "rsqrt", 1.5, [](W x) { return 1 / std::sqrt(x); }, 0, 4},
      {Op::sin, "sin", 1.0, [](W x) { return std::sin(x); }, -1e6, 1e6},
      {Op::cos, "cos", 1.0, [](W x) { return std::cos(x); }, -1e6, 1e6},
      {Op::tanh, "tanh", 2.5, [](W x) { return std::tanh(x); }, -20, 20},
      {Op::erf, "erf", 1.5, [](W x) { return std::erf(x); }, -6, 6},
      {Op::erfc, "erfc", 5.0, [](W x) { return std::erfc(x); }, -6, 28},
      {Op::sigmoid, "sigmoid", 3.0, sigmoid<W>, -746, 40},
      {Op::softplus, "softplus", 3.0, softplus<W>, -746, 40},
      {Op::silu, "silu", 4.5, silu<W>, -746, 40},
      {Op::gelu, "gelu", 6.0, gelu<W>, -39, 10},
      {Op::gelu_tanh, "gelu_tanh", 6.0, gelu_tanh<W>, -22, 10},
  };
}

template <class T>
void all(const needle::CpuKernels& kernels, const std::vector<Samples<T>>& samples,
         const Samples<T>& pows) {
  using W = Wide<T>;
  const std::vector<Function<T>> table = functions<T>();
  for (std::size_t i = 0; i < table.size(); ++i) {
    const Function<T>& f = table[i];
    measure<T>(
        kernels.isa, f.name, samples[i % samples.size()], f.limit,
        [&](View dst, View x, View) { kernels.unary(f.op, dst, x); },
        [&](W x, W) { return f.exact(x); });
  }
  measure<T>(
      kernels.isa, "pow", pows, 1.0,
      [&](View dst, View x, View y) { kernels.binary(needle::BinaryOp::power, dst, x, y); },
      [](W x, W y) { return std::pow(x, y); });
}

}  // namespace

int main() {
  const Samples<float> float_pairs = pairs<float>(300000);
  const Samples<double> double_pairs = pairs<double>(50000);
  const std::vector<Samples<float>> floats = {float_patterns()};
  std::vector<Samples<double>> doubles;
  for (const Function<double>& f : functions<double>()) {
    doubles.push_back(double_patterns(f.low, f.high));
  }
  for (const needle::CpuKernels* kernels : instruction_sets()) {
    all<float>(*kernels, floats, float_pairs);
    all<double>(*kernels, doubles, double_pairs);
  }
  return summary("maths_test");
}
