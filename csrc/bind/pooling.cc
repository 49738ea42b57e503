// Pooling: kernel, stride and padding as ints or pairs on their way into core/pool.cc.
#include "bind/pooling.h"

#include "bind/casters.h"

namespace needle::bind {

namespace {

// One number stands for both.
void set_pair(std::int64_t (&target)[2], const char* op, const char* what, const Dims& values) {
  if (values.size() != 1 && values.size() != 2) {
    throw std::invalid_argument(message(op, "an int or a pair of ints", what, values.str()));
  }
  target[0] = values[0];
  target[1] = values[values.size() - 1];
}

Pool2dParams pool_params(PoolOp op, const Dims& kernel, const Dims& stride, const Dims& padding,
                         bool inside) {
  Pool2dParams p{};
  set_pair(p.kernel, name(op), "kernel", kernel);
  set_pair(p.stride, name(op), "stride", stride);
  set_pair(p.padding, name(op), "padding", padding);
  p.inside = inside;
  return p;
}

}  // namespace

void define_pooling(py::handle type) {
  const auto def = [&](const char* name, auto&& function, const auto&... extra) {
    type.attr(name) = py::cpp_function(std::forward<decltype(function)>(function), py::name(name),
                                       py::is_method(type), extra...);
  };
  using py::arg;
  const auto kernel = arg("kernel"), stride = arg("stride"), padding = arg("padding");
  def(
      "max_pool2d",
      [](const NDArray& x, const Dims& k, const Dims& s, const Dims& p) {
        const Pool2dParams params = pool_params(PoolOp::max, k, s, p, false);
        return compute(x.size(), [&] { return x.pool2d(PoolOp::max, params); });
      },
      kernel, stride, padding);
  def(
      "avg_pool2d",
      [](const NDArray& x, const Dims& k, const Dims& s, const Dims& p, bool inside) {
        const Pool2dParams params = pool_params(PoolOp::mean, k, s, p, inside);
        return compute(x.size(), [&] { return x.pool2d(PoolOp::mean, params); });
      },
      kernel, stride, padding, arg("inside"));
  def(
      "max_pool2d_grad",
      [](const NDArray& x, const NDArray& dy, const Dims& k, const Dims& s, const Dims& p) {
        const Pool2dParams params = pool_params(PoolOp::max, k, s, p, false);
        return compute(
            x.size(), [&] { return NDArray::pool2d_grad(PoolOp::max, dy, x.shape(), &x, params); });
      },
      arg("dy"), kernel, stride, padding);
  def(
      "avg_pool2d_grad",
      [](const NDArray& dy, const Dims& x_shape, const Dims& k, const Dims& s, const Dims& p,
         bool inside) {
        const Pool2dParams params = pool_params(PoolOp::mean, k, s, p, inside);
        py::gil_scoped_release release;
        return NDArray::pool2d_grad(PoolOp::mean, dy, x_shape, nullptr, params);
      },
      arg("x_shape"), kernel, stride, padding, arg("inside"));
}

}  // namespace needle::bind
