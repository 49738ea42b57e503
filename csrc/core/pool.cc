// Pooling: everything about shapes and parameters is settled here, so that kernels check nothing.
#include <limits>

#include "detail.h"

namespace needle {
namespace {

std::string pair(const std::int64_t (&values)[2]) { return Dims{values[0], values[1]}.str(); }

// Checks windows over images (N, H, W, C) and gives the shape of what they are pooled to.
Dims pooled_shape(std::string_view op, const Dims& x, const Pool2dParams& p) {
  if (x.size() != 4) {
    throw std::invalid_argument(message(op, "images have 4 axes (N, H, W, C)", "x.shape", x.str()));
  }
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();  // sums stay in range
  Dims padded, out = x;
  for (int i = 0; i < 2; ++i) {
    const bool in_range = p.kernel[i] >= 1 && p.kernel[i] <= most && p.stride[i] >= 1 &&
                          p.stride[i] <= most && p.padding[i] >= 0 &&
                          p.padding[i] <= p.kernel[i] / 2;
    if (!in_range) {
      throw std::invalid_argument(
          message(op, "kernel and stride lie in [1, 2**31), padding in [0, kernel / 2]", "kernel",
                  pair(p.kernel), "stride", pair(p.stride), "padding", pair(p.padding)));
    }
    if (x[1 + i] > most - 2 * p.padding[i]) {
      throw std::invalid_argument(message(op, "a padded image has less than 2**31 rows and columns",
                                          "image", Dims{x[1], x[2]}.str(), "padding",
                                          pair(p.padding)));
    }
    padded.push_back(x[1 + i] + 2 * p.padding[i]);
  }
  if (padded[0] < p.kernel[0] || padded[1] < p.kernel[1]) {
    throw std::invalid_argument(message(op, "the kernel fits into the padded image", "kernel",
                                        pair(p.kernel), "image", padded.str()));
  }
  for (int i = 0; i < 2; ++i) out[1 + i] = (padded[i] - p.kernel[i]) / p.stride[i] + 1;
  return out;
}

}  // namespace

NDArray NDArray::pool2d(PoolOp op, const Pool2dParams& p) const {
  detail::require_computed(name(op), *this);
  NDArray y = empty(pooled_shape(name(op), shape_, p), dtype_, device());
  if (y.size() > 0) device().backend->pool2d(op, y.view(), compact().view(), p);
  return y;
}

NDArray NDArray::pool2d_grad(PoolOp op, const NDArray& dy, const Dims& x_shape, const NDArray* x,
                             const Pool2dParams& p) {
  const char* op_name = op == PoolOp::max ? "max_pool_grad" : "avg_pool_grad";
  detail::require_computed(op_name, dy);
  if (x != nullptr) detail::require_alike(op_name, dy, *x);
  const Dims expected = pooled_shape(op_name, x_shape, p);
  if (!(dy.shape_ == expected)) {
    throw std::invalid_argument(message(op_name, "dy must have the shape of the pooled images",
                                        "dy.shape", dy.shape_.str(), "expected", expected.str()));
  }
  NDArray dx = empty(x_shape, dy.dtype_, dy.device());
  if (dx.size() > 0) {
    const NDArray images = x != nullptr ? x->compact() : NDArray();
    dy.device().backend->pool2d_grad(op, dx.view(), dy.compact().view(),
                                     x != nullptr ? images.view() : View{}, p);
  }
  return dx;
}

}  // namespace needle
