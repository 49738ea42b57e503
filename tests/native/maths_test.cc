// exp, log, tanh, pow of every instruction set against the C library in wider precision: the
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
  std::printf("%-10s %-5s float%zu  max %.3f ulp at %a", isa, name, sizeof(T) * 8, worst,
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

template <class T>
void all(const needle::CpuKernels& kernels, const Samples<T>& exps, const Samples<T>& logs,
         const Samples<T>& tanhs, const Samples<T>& pows) {
  using W = Wide<T>;
  const auto unary = [&](needle::UnaryOp op) {
    return [&kernels, op](View dst, View x, View) { kernels.unary(op, dst, x); };
  };
  const auto power = [&](View dst, View x, View y) {
    kernels.binary(needle::BinaryOp::power, dst, x, y);
  };
  measure<T>(kernels.isa, "exp", exps, 1.5, unary(needle::UnaryOp::exp),
             [](W x, W) { return std::exp(x); });
  measure<T>(kernels.isa, "log", logs, 1.5, unary(needle::UnaryOp::log),
             [](W x, W) { return std::log(x); });
  measure<T>(kernels.isa, "tanh", tanhs, 2.5, unary(needle::UnaryOp::tanh),
             [](W x, W) { return std::tanh(x); });
  measure<T>(kernels.isa, "pow", pows, 1.0, power, [](W x, W y) { return std::pow(x, y); });
}

}  // namespace

int main() {
  const Samples<float> floats = float_patterns(), float_pairs = pairs<float>(300000);
  const Samples<double> exps = double_patterns(-746, 710), logs = double_patterns(0, 4),
                        tanhs = double_patterns(-20, 20), double_pairs = pairs<double>(50000);
  for (const needle::CpuKernels* kernels : instruction_sets()) {
    all<float>(*kernels, floats, floats, floats, float_pairs);
    all<double>(*kernels, exps, logs, tanhs, double_pairs);
  }
  return summary("maths_test");
}
