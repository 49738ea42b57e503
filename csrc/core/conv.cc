// Convolution: everything about shapes and parameters is settled here, so that kernels check
// nothing.
#include <limits>

#include "detail.h"

namespace needle {
namespace {

std::string pair(const std::int64_t (&values)[2]) { return Dims{values[0], values[1]}.str(); }

std::invalid_argument refusal(std::string_view op, const char* rule, const Dims& x, const Dims& w,
                              const Conv2dParams& p) {
  return std::invalid_argument(message(op, rule, "x.shape", x.str(), "w.shape", w.str(), "stride",
                                       pair(p.stride), "padding", pair(p.padding), "dilation",
                                       pair(p.dilation), "groups", p.groups));
}

// Checks a convolution of x (N, H, W, Cin) with w (KH, KW, Cin / groups, Cout) and gives the shape
// of its result.
Dims output_shape(std::string_view op, const Dims& x, const Dims& w, const Conv2dParams& p) {
  if (x.size() != 4) throw refusal(op, "x must have 4 axes (N, H, W, C)", x, w, p);
  if (w.size() != 4) throw refusal(op, "w must have 4 axes (KH, KW, C / groups, O)", x, w, p);
  for (const Dims* shape : {&x, &w}) {
    for (const std::int64_t n : *shape) {
      if (n < 0) throw refusal(op, "sizes must not be negative", x, w, p);
    }
  }
  constexpr std::int64_t most =
      std::numeric_limits<std::int32_t>::max();  // keeps kernels' index sums in range
  for (int i = 0; i < 2; ++i) {
    if (p.stride[i] < 1 || p.stride[i] > most)
      throw refusal(op, "stride must lie in [1, 2**31)", x, w, p);
    if (p.padding[i] < 0 || p.padding[i] > most)
      throw refusal(op, "padding must lie in [0, 2**31)", x, w, p);
    if (p.dilation[i] < 1 || p.dilation[i] > most)
      throw refusal(op, "dilation must lie in [1, 2**31)", x, w, p);
  }
  if (p.groups < 1) throw refusal(op, "groups must be at least 1", x, w, p);
  if (x[3] % p.groups != 0 || w[3] % p.groups != 0) {
    throw refusal(op, "groups must divide the channels of x and the output channels of w", x, w, p);
  }
  if (w[2] != x[3] / p.groups)
    throw refusal(op, "w's input channels must be x's channels / groups", x, w, p);
  Dims out{x[0], 0, 0, w[3]};
  for (int i = 0; i < 2; ++i) {
    if (w[i] < 1) throw refusal(op, "the kernel must have at least one element", x, w, p);
    const __int128 padded =
        static_cast<__int128>(x[1 + i]) + 2 * static_cast<__int128>(p.padding[i]);
    const __int128 extent = static_cast<__int128>(p.dilation[i]) * (w[i] - 1) + 1;
    if (extent > padded)
      throw refusal(op, "the kernel, dilated, must not be larger than the padded input", x, w, p);
    if (padded > std::numeric_limits<std::int64_t>::max())
      throw refusal(op, "sizes are too large", x, w, p);
    out[1 + i] = static_cast<std::int64_t>((padded - extent) / p.stride[i] + 1);
  }
  return out;
}

// Fresh zeros, for results to which no product contributes.
NDArray zeros(const Dims& shape, DType dtype, Device& device) {
  return NDArray::full(shape, Scalar{0.0, 0, true}, dtype, device);
}

void require_operands(std::string_view op, const NDArray& a, const NDArray& b) {
  detail::require_alike(op, a, b);
  detail::require_computed(op, a);
}

void require_cotangent(std::string_view op, const Dims& dy, const Dims& y) {
  if (dy == y) return;
  throw std::invalid_argument(message(op, "dy must have the shape of the convolution's result",
                                      "dy.shape", dy.str(), "expected", y.str()));
}

}  // namespace

NDArray NDArray::conv2d(const NDArray& x, const NDArray& w, const Conv2dParams& p) {
  require_operands("conv", x, w);
  const Dims shape = output_shape("conv", x.shape_, w.shape_, p);
  if (x.size() == 0 || w.size() == 0) return zeros(shape, x.dtype_, x.device());
  NDArray y = empty(shape, x.dtype_, x.device());
  x.device().backend->conv2d(y.view(), x.compact().view(), w.compact().view(), p);
  return y;
}

NDArray NDArray::conv2d_grad_input(const NDArray& dy, const NDArray& w, const Dims& x_shape,
                                   const Conv2dParams& p) {
  require_operands("conv_grad_input", dy, w);
  require_cotangent("conv_grad_input", dy.shape_,
                    output_shape("conv_grad_input", x_shape, w.shape_, p));
  if (dy.size() == 0) return zeros(x_shape, dy.dtype_, dy.device());
  NDArray dx = empty(x_shape, dy.dtype_, dy.device());
  if (dx.size() > 0) {
    dy.device().backend->conv2d_grad_input(dx.view(), dy.compact().view(), w.compact().view(), p);
  }
  return dx;
}

NDArray NDArray::conv2d_grad_weight(const NDArray& x, const NDArray& dy, const Dims& w_shape,
                                    const Conv2dParams& p) {
  require_operands("conv_grad_weight", x, dy);
  require_cotangent("conv_grad_weight", dy.shape_,
                    output_shape("conv_grad_weight", x.shape_, w_shape, p));
  if (x.size() == 0 || dy.size() == 0) return zeros(w_shape, x.dtype_, x.device());
  NDArray dw = empty(w_shape, x.dtype_, x.device());
  if (dw.size() > 0) {
    x.device().backend->conv2d_grad_weight(dw.view(), x.compact().view(), dy.compact().view(), p);
  }
  return dw;
}

}  // namespace needle
