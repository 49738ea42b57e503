// Convolution: output sizes against counting, gradients against each other, empty arrays, refusals.
#include "random_arrays.h"

using namespace needle;
using namespace needle_test;

namespace {

void convolution() {
  const auto outputs = [](std::int64_t size, std::int64_t k, std::int64_t stride,
                          std::int64_t padding, std::int64_t dilation) {
    std::int64_t count = 0;  // positions at which the whole kernel lies inside the padded input
    for (std::int64_t i = -padding; i + dilation * (k - 1) < size + padding; i += stride) ++count;
    return count;
  };
  int computed = 0, refused = 0;
  for (int round = 0; round < 1500; ++round) {
    Conv2dParams p{
        {draw(1, 3), draw(1, 3)}, {draw(0, 2), draw(0, 2)}, {draw(1, 2), draw(1, 2)}, draw(1, 2)};
    const std::int64_t inputs = draw(0, 9) == 0 ? 0 : draw(1, 2),
                       channels = draw(0, 9) == 0 ? 0 : draw(1, 2);
    const Dims x_shape{draw(0, 9) == 0 ? 0 : draw(1, 2), draw(0, 5), draw(1, 5), inputs * p.groups};
    const Dims w_shape{draw(1, 3), draw(1, 3), inputs, channels * p.groups};
    const NDArray x = laid_out(x_shape), w = laid_out(w_shape);
    Dims y_shape{x_shape[0], 0, 0, w_shape[3]};
    for (int i = 0; i < 2; ++i)
      y_shape[1 + i] =
          outputs(x_shape[1 + i], w_shape[i], p.stride[i], p.padding[i], p.dilation[i]);
    if (y_shape[1] == 0 || y_shape[2] == 0) {
      CHECK_THROWS(
          std::invalid_argument,
          "[conv] the kernel, dilated, must not be larger than the padded input, got x.shape=" +
              x_shape.str(),
          NDArray::conv2d(x, w, p));
      ++refused;
      continue;
    }
    ++computed;
    const NDArray y = NDArray::conv2d(x, w, p);
    CHECK(y.shape() == y_shape && y.is_compact());
    // <dy, conv(x, w)> is linear in each: both gradients must give the same number.
    const NDArray dy = laid_out(y_shape);
    const auto dot = [](const NDArray& a, const NDArray& b) {
      double sum = 0;
      for_each_index(a.shape().begin(), a.ndim(),
                     [&](const std::int64_t* i) { sum += at(a, i) * at(b, i); });
      return sum;
    };
    const NDArray dx = NDArray::conv2d_grad_input(dy, w, x_shape, p),
                  dw = NDArray::conv2d_grad_weight(x, dy, w_shape, p);
    CHECK(dx.shape() == x_shape && dw.shape() == w_shape);
    CHECK(dot(dy, y) == dot(dx, x) && dot(dy, y) == dot(dw, w));
  }
  CHECK(computed > 300 && refused > 50);

  const Conv2dParams plain{{1, 1}, {0, 0}, {1, 1}, 1};
  const NDArray x = numbers({1, 4, 4, 2}), w = numbers({3, 3, 2, 4});
  const auto refuse = [](const NDArray& a, const NDArray& b, const Conv2dParams& p,
                         const char* text) {
    CHECK_THROWS(std::invalid_argument, std::string("[conv] ") + text, NDArray::conv2d(a, b, p));
  };
  const auto with = [&](auto&& change) {
    Conv2dParams p = plain;
    change(p);
    return p;
  };
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  refuse(numbers({4, 4, 2}), w, plain, "x must have 4 axes");
  refuse(x, numbers({3, 3, 2}), plain, "w must have 4 axes");
  refuse(x, numbers({3, 3, 3, 4}), plain,
         "w's input channels must be x's channels / groups, got x.shape=(1, 4, 4, 2), w.shape=(3, "
         "3, 3, 4), stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1");
  refuse(x, numbers({0, 3, 2, 4}), plain, "the kernel must have");
  refuse(x, numbers({5, 3, 2, 4}), plain, "the kernel, dilated");
  refuse(x, w, with([](auto& p) { p.stride[1] = 0; }), "stride");
  refuse(x, w, with([](auto& p) { p.stride[0] = huge; }), "stride");
  refuse(x, w, with([](auto& p) { p.padding[0] = -1; }), "padding");
  refuse(x, w, with([](auto& p) { p.padding[0] = huge; }), "padding");
  refuse(x, w, with([](auto& p) { p.dilation[1] = 0; }), "dilation");
  refuse(x, w, with([](auto& p) { p.dilation[1] = huge; }), "dilation");
  refuse(x, w, with([](auto& p) { p.dilation[1] = (1ll << 31) - 1; }), "the kernel, dilated");
  refuse(x, w, with([](auto& p) { p.groups = 0; }), "groups must be");
  refuse(x, w, with([](auto& p) { p.groups = 3; }), "groups must divide");
  refuse(x, numbers({3, 3, 1, 3}), with([](auto& p) { p.groups = 2; }), "groups must divide");
  CHECK_THROWS(std::invalid_argument, "[conv_grad_input] dy must have",
               NDArray::conv2d_grad_input(numbers({1, 3, 2, 4}), w, {1, 4, 4, 2}, plain));
  CHECK_THROWS(std::invalid_argument, "[conv_grad_weight] dy must have",
               NDArray::conv2d_grad_weight(x, numbers({1, 3, 2, 4}), {3, 3, 2, 4}, plain));
  CHECK_THROWS(std::invalid_argument, "[conv_grad_input] sizes",
               NDArray::conv2d_grad_input(numbers({1, 2, 2, 4}), w, {-1, 4, 4, 2}, plain));
  CHECK_THROWS(
      TypeMismatch, "[conv_grad_input] operands",
      NDArray::conv2d_grad_input(numbers({1, 2, 2, 4}, DType::float32), w, {1, 4, 4, 2}, plain));
}

}  // namespace

int main() {
  return run_in_both_modes("core_conv_test", [] { convolution(); });
}
