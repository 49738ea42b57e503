// conv2d and its two gradients of every instruction set against loops over the definition in
// double: exact on whole numbers, within K u of random reals; strides, paddings, dilations and
// groups by chance; memory around x, w and dy is NaN, outputs start as NaN with guards around them;
// the same bits for any thread count.
#include <omp.h>

#include <limits>

#include "kernel_testing.h"

namespace needle_test {
namespace {

using Vector = std::vector<double>;

struct Problem {
  std::int64_t n, h, w, c, kh, kw, o;  // c: input channels, o: output channels, of all groups
  needle::Conv2dParams p;

  std::int64_t out(int d) const {
    const std::int64_t in = d == 0 ? h : w, kernel = d == 0 ? kh : kw;
    return (in + 2 * p.padding[d] - p.dilation[d] * (kernel - 1) - 1) / p.stride[d] + 1;
  }
  bool exists() const {
    return h + 2 * p.padding[0] > p.dilation[0] * (kh - 1) &&
           w + 2 * p.padding[1] > p.dilation[1] * (kw - 1);
  }
  Shape x_shape() const { return {n, h, w, c}; }
  Shape w_shape() const { return {kh, kw, c / p.groups, o}; }
  Shape y_shape() const { return {n, out(0), out(1), o}; }

  // f(index in x, in w, in y) for every product of the definition.
  template <class F>
  void for_each_term(F&& f) const {
    const std::int64_t oh = out(0), ow = out(1), taken = c / p.groups, made = o / p.groups;
    for (std::int64_t b = 0; b < n; ++b)
      for (std::int64_t y = 0; y < oh; ++y)
        for (std::int64_t x = 0; x < ow; ++x)
          for (std::int64_t i = 0; i < kh; ++i)
            for (std::int64_t j = 0; j < kw; ++j) {
              const std::int64_t sy = y * p.stride[0] - p.padding[0] + i * p.dilation[0];
              const std::int64_t sx = x * p.stride[1] - p.padding[1] + j * p.dilation[1];
              if (sy < 0 || sy >= h || sx < 0 || sx >= w) continue;
              for (std::int64_t m = 0; m < o; ++m)
                for (std::int64_t k = 0; k < taken; ++k)
                  f(static_cast<std::size_t>(((b * h + sy) * w + sx) * c + m / made * taken + k),
                    static_cast<std::size_t>(((i * kw + j) * taken + k) * o + m),
                    static_cast<std::size_t>(((b * oh + y) * ow + x) * o + m));
            }
  }
};

// A compact array inside NaNs, which every read outside of it would let in.
template <class T>
struct Guarded {
  static constexpr std::size_t margin = 64;
  std::vector<T> memory;
  View view{};

  Guarded(const Shape& shape, const Vector* content) {
    memory.assign(static_cast<std::size_t>(count(shape)) + 2 * margin,
                  std::numeric_limits<T>::quiet_NaN());
    for (std::size_t i = 0; content != nullptr && i < content->size(); ++i)
      memory[margin + i] = static_cast<T>((*content)[i]);
    view.data = memory.data() + margin;
    view.dtype = dtype_of<T>;
    view.ndim = static_cast<int>(shape.size());
    std::int64_t stride = 1;
    for (int d = view.ndim - 1; d >= 0; --d) {
      view.shape[d] = shape[static_cast<std::size_t>(d)];
      view.strides[d] = stride;
      stride *= view.shape[d];
    }
  }
  bool guards_stand() const {
    bool stand = true;
    for (std::size_t i = 0; i < margin; ++i) {
      stand &=
          memory[i] != memory[i] && memory[memory.size() - 1 - i] != memory[memory.size() - 1 - i];
    }
    return stand;
  }
  Vector values() const { return Vector(memory.begin() + margin, memory.end() - margin); }
};

template <class T>
Vector numbers(const Shape& shape, bool whole) {
  Vector v;
  for (std::int64_t i = 0; i < count(shape); ++i) {
    v.push_back(
        whole ? static_cast<double>(draw(-3, 3))
              : static_cast<double>(static_cast<T>(std::normal_distribution<double>()(generator))));
  }
  return v;
}

struct Expected {
  Vector value, magnitude;
  std::vector<std::int64_t> terms;
  explicit Expected(const Shape& shape)
      : value(static_cast<std::size_t>(count(shape))),
        magnitude(value.size()),
        terms(value.size()) {}
  void add(std::size_t i, double term) {
    value[i] += term;
    magnitude[i] += std::fabs(term);
    ++terms[i];
  }
};

template <class T>
bool within_bounds(const Vector& seen, const Expected& e, bool whole) {
  for (std::size_t i = 0; i < e.value.size(); ++i) {
    const double bound = whole ? 0
                               : static_cast<double>(e.terms[i] + 2) * e.magnitude[i] *
                                     static_cast<double>(std::numeric_limits<T>::epsilon());
    if (!(std::fabs(seen[i] - e.value[i]) <= bound)) return false;
  }
  return true;
}

template <class T>
void check_conv(const Problem& q, bool whole) {
  const Vector x = numbers<T>(q.x_shape(), whole), w = numbers<T>(q.w_shape(), whole);
  const Vector dy = numbers<T>(q.y_shape(), whole);
  Expected y(q.y_shape()), dx(q.x_shape()), dw(q.w_shape());
  q.for_each_term([&](std::size_t ix, std::size_t iw, std::size_t iy) {
    y.add(iy, x[ix] * w[iw]);
    dx.add(ix, dy[iy] * w[iw]);
    dw.add(iw, x[ix] * dy[iy]);
  });
  const Guarded<T> gx(q.x_shape(), &x), gw(q.w_shape(), &w), gdy(q.y_shape(), &dy);
  for (const needle::CpuKernels* kernels : instruction_sets()) {
    const auto check = [&](const char* what, const Shape& shape, const Expected& expected,
                           auto&& kernel) {
      Vector first;
      for (const int threads : {1, 2, 3}) {
        Guarded<T> out(shape, nullptr);
        omp_set_num_threads(threads);
        kernel(out.view);
        CHECK(out.guards_stand());
        const Vector seen = out.values();
        if (threads == 1) {
          first = seen;
          if (!CHECK(within_bounds<T>(seen, expected, whole))) {
            std::fprintf(
                stderr,
                "  %s %s: x %lld %lld %lld %lld, kernel %lld %lld, outputs %lld, stride %lld %lld, "
                "padding %lld %lld, dilation %lld %lld, groups %lld\n",
                kernels->isa, what, (long long)q.n, (long long)q.h, (long long)q.w, (long long)q.c,
                (long long)q.kh, (long long)q.kw, (long long)q.o, (long long)q.p.stride[0],
                (long long)q.p.stride[1], (long long)q.p.padding[0], (long long)q.p.padding[1],
                (long long)q.p.dilation[0], (long long)q.p.dilation[1], (long long)q.p.groups);
          }
        }
        CHECK(std::memcmp(first.data(), seen.data(), seen.size() * sizeof(double)) == 0);
      }
    };
    check("conv2d", q.y_shape(), y, [&](View out) { kernels->conv2d(out, gx.view, gw.view, q.p); });
    check("grad_input", q.x_shape(), dx,
          [&](View out) { kernels->conv2d_grad_input(out, gdy.view, gw.view, q.p); });
    check("grad_weight", q.w_shape(), dw,
          [&](View out) { kernels->conv2d_grad_weight(out, gx.view, gdy.view, q.p); });
  }
}

std::int64_t pick(std::initializer_list<std::int64_t> values) {
  return values.begin()[draw(0, static_cast<std::int64_t>(values.size()) - 1)];
}

Problem random_problem() {
  Problem q{};
  do {
    const std::int64_t groups = pick({1, 1, 1, 2, 3});
    q = Problem{
        .n = draw(1, 3),
        .h = draw(1, 11),
        .w = draw(1, 11),
        .c = groups * pick({1, 2, 3, 5, 8, 16}),
        .kh = draw(1, 5),
        .kw = draw(1, 5),
        .o = groups * pick({1, 2, 5, 16, 17, 33}),
        .p = {
            {draw(1, 4), draw(1, 4)}, {draw(0, 6), draw(0, 6)}, {draw(1, 3), draw(1, 3)}, groups}};
  } while (!q.exists());
  return q;
}

template <class T>
void all() {
  for (int i = 0; i < 120; ++i) check_conv<T>(random_problem(), !one_in(3));
  using P = needle::Conv2dParams;
  for (const Problem& q : {
           Problem{2, 9, 9, 48, 3, 3, 70, P{{1, 1}, {1, 1}, {1, 1}, 1}},  // several blocks of K
           Problem{1, 7, 7, 300, 1, 1, 40,
                   P{{1, 1}, {0, 0}, {1, 1}, 1}},  // 1 x 1, a tap in two blocks
           Problem{2, 23, 23, 3, 7, 7, 16, P{{4, 4}, {3, 3}, {1, 1}, 1}},  // a first layer
           Problem{1, 2, 300, 4, 1, 5, 8,
                   P{{1, 1}, {0, 2}, {1, 1}, 1}},  // rows longer than a block
           Problem{1, 3, 3, 1024, 2, 2, 100,
                   P{{1, 1}, {1, 1}, {1, 1}, 1}},  // pixels that share sets of L1
           Problem{1, 5, 5, 2, 3, 3, 600,
                   P{{2, 2}, {1, 1}, {1, 1}, 1}},  // several blocks of columns
           Problem{1, 5, 5, 600, 3, 3, 2, P{{2, 2}, {1, 1}, {1, 1}, 1}},
           Problem{2, 6, 6, 24, 3, 3, 24, P{{1, 1}, {1, 1}, {1, 1}, 24}},  // depthwise
           Problem{1, 1, 1, 3, 5, 5, 4,
                   P{{3, 2}, {9, 8}, {2, 3}, 1}},  // padding larger than the kernel
           Problem{1, 4, 4, 3, 2, 2, 4, P{{7, 5}, {0, 0}, {1, 1}, 1}},  // pixels that nothing reads
       }) {
    check_conv<T>(q, true);
    check_conv<T>(q, false);
  }
}

}  // namespace
}  // namespace needle_test

int main() {
  using namespace needle_test;
  all<float>();
  all<double>();
  return summary("conv_test");
}
