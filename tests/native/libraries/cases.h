// Products and convolutions of small integers, with what they are: every result is exact.
#pragma once

#include <algorithm>
#include <vector>

#include "../check.h"
#include "../cuda_device.h"

namespace libraries_test {

using namespace needle;
using needle_test::draw;
using Shape = std::vector<std::int64_t>;

using needle_test::device;

// The simulator's device memory is the host's: the test reads and writes it in place.
struct Array {
  View view{};
  void* block;

  // Axes in memory in the order of `order`, the last one fastest; gap: elements left out after each
  // axis; a negative axis runs backwards, a shared one has stride 0.
  Array(DType dtype, const Shape& shape, bool plain, bool output) {
    view.dtype = dtype;
    view.ndim = static_cast<int>(shape.size());
    std::vector<int> order(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) order[i] = static_cast<int>(i);
    const auto style = plain ? 0 : draw(0, 4);
    if (style == 1) std::shuffle(order.begin(), order.end(), needle_test::generator);
    if (style == 2 && shape.size() >= 2)
      std::swap(order[order.size() - 1], order[order.size() - 2]);
    std::int64_t stride = style == 3 ? draw(1, 2) : 1, first = 0;
    for (std::size_t i = shape.size(); i-- > 0;) {
      const int d = order[i];
      const std::int64_t n = view.shape[d] = shape[static_cast<std::size_t>(d)];
      const std::int64_t how = plain ? 9 : draw(0, 9);
      view.strides[d] = how == 0 ? -stride : how == 1 && !output && d + 2 < view.ndim ? 0 : stride;
      if (view.strides[d] < 0) first += (n - 1) * stride;
      stride *= n + (plain ? 0 : draw(0, 3) / 3);
    }
    if (!plain) first += draw(0, 3) / 2;  // not aligned
    const std::size_t bytes = static_cast<std::size_t>(stride + 2) * itemsize(dtype);
    block = device().raw_allocate(bytes);
    view.data = static_cast<char*>(block) + static_cast<std::size_t>(first) * itemsize(dtype);
    if (!output) each([&](const std::int64_t* at) { set(at, static_cast<double>(draw(-2, 2))); });
  }
  ~Array() { device().raw_free(block, 0); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  std::int64_t offset(const std::int64_t* at) const {
    std::int64_t sum = 0;
    for (int d = 0; d < view.ndim; ++d) sum += at[d] * view.strides[d];
    return sum;
  }
  double get(const std::int64_t* at) const {
    double value = 0;
    visit_dtype(view.dtype, [&](auto zero) {
      value = Convert<double>::from(static_cast<decltype(zero)*>(view.data)[offset(at)]);
    });
    return value;
  }
  void set(const std::int64_t* at, double value) {
    visit_dtype(view.dtype, [&](auto zero) {
      using T = decltype(zero);
      static_cast<T*>(view.data)[offset(at)] = Convert<T>::from(value);
    });
  }
  template <class F>
  void each(F&& f) const {
    std::int64_t at[kMaxDims] = {};
    for (std::int64_t count = numel(view); count > 0; --count) {
      f(at);
      for (int d = view.ndim - 1; d >= 0 && ++at[d] == view.shape[d]; --d) at[d] = 0;
    }
  }
};

inline DType any_dtype() {
  constexpr DType all[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};
  return all[draw(0, 3)];
}

inline bool product_is_right(const Array& dst, const Array& a, const Array& b) {
  bool right = true;
  const int row = dst.view.ndim - 2, column = row + 1;
  dst.each([&](const std::int64_t* at) {
    std::int64_t i[kMaxDims], j[kMaxDims];
    std::copy(at, at + dst.view.ndim, i);
    std::copy(at, at + dst.view.ndim, j);
    double sum = 0;
    for (std::int64_t k = 0; k < a.view.shape[column]; ++k) {
      i[column] = j[row] = k;
      sum += a.get(i) * b.get(j);
    }
    right = right && dst.get(at) == sum;
  });
  return right;
}

struct Product {
  Array a, b, dst;
  Product(DType dtype, const Shape& batch, std::int64_t m, std::int64_t n, std::int64_t k,
          bool plain)
      : a(dtype, with(batch, m, k), plain, false),
        b(dtype, with(batch, k, n), plain, false),
        dst(dtype, with(batch, m, n), plain || draw(0, 3) > 0, true) {}
  static Shape with(Shape batch, std::int64_t rows, std::int64_t columns) {
    batch.insert(batch.end(), {rows, columns});
    return batch;
  }
  bool right() {
    device().matmul(dst.view, a.view, b.view);
    return product_is_right(dst, a, b);
  }
};

inline Product random_product() {
  Shape batch(static_cast<std::size_t>(draw(0, 3)));
  for (auto& n : batch) n = draw(1, 3);
  return Product(any_dtype(), batch, draw(1, 7), draw(1, 7), draw(1, 9), draw(0, 3) == 0);
}

struct Conv {
  Conv2dParams p;
  Array x, w, y;

  static std::int64_t out(std::int64_t in, std::int64_t k, const Conv2dParams& p, int d) {
    return (in + 2 * p.padding[d] - p.dilation[d] * (k - 1) - 1) / p.stride[d] + 1;
  }
  Conv(DType dtype, Conv2dParams params, const Shape& x_shape, const Shape& w_shape)
      : p(params),
        x(dtype, x_shape, true, false),
        w(dtype, w_shape, true, false),
        y(dtype,
          {x_shape[0], out(x_shape[1], w_shape[0], p, 0), out(x_shape[2], w_shape[1], p, 1),
           w_shape[3]},
          true, false) {}

  // What each of the three is when the others are as they are: the sum over all products.
  bool right() {
    bool right = true;
    for (Array* result : {&y, &x, &w}) {
      std::vector<double> sums(static_cast<std::size_t>(numel(result->view)));
      y.each([&](const std::int64_t* at) {
        const std::int64_t group = at[3] / (w.view.shape[3] / p.groups);
        w.each([&](const std::int64_t* tap) {
          if (tap[3] != at[3]) return;
          const std::int64_t from[] = {at[0],
                                       at[1] * p.stride[0] - p.padding[0] + tap[0] * p.dilation[0],
                                       at[2] * p.stride[1] - p.padding[1] + tap[1] * p.dilation[1],
                                       group * w.view.shape[2] + tap[2]};
          if (from[1] < 0 || from[2] < 0 || from[1] >= x.view.shape[1] ||
              from[2] >= x.view.shape[2]) {
            return;
          }
          const std::int64_t* place = result == &y ? at : result == &x ? from : tap;
          sums[static_cast<std::size_t>(result->offset(place))] +=
              (result == &y ? 1 : y.get(at)) * (result == &x ? 1 : x.get(from)) *
              (result == &w ? 1 : w.get(tap));
        });
      });
      Array got(result->view.dtype, {result->view.shape, result->view.shape + 4}, true, true);
      if (result == &y) device().conv2d(got.view, x.view, w.view, p);
      if (result == &x) device().conv2d_grad_input(got.view, y.view, w.view, p);
      if (result == &w) device().conv2d_grad_weight(got.view, x.view, y.view, p);
      got.each([&](const std::int64_t* at) {
        right = right && got.get(at) == sums[static_cast<std::size_t>(got.offset(at))];
      });
    }
    return right;
  }
};

inline Conv random_conv(DType dtype) {
  const std::int64_t groups = draw(1, 3);
  const Conv2dParams p{
      {draw(1, 2), draw(1, 3)}, {draw(0, 2), draw(0, 2)}, {draw(1, 2), draw(1, 2)}, groups};
  const std::int64_t kh = draw(1, 3), kw = draw(1, 3), c = draw(1, 3), f = draw(1, 2) * groups;
  const std::int64_t h = std::max<std::int64_t>(p.dilation[0] * (kh - 1) + 1 - 2 * p.padding[0], 1);
  const std::int64_t w = std::max<std::int64_t>(p.dilation[1] * (kw - 1) + 1 - 2 * p.padding[1], 1);
  return Conv(dtype, p, {draw(1, 2), h + draw(0, 3), w + draw(0, 2), c * groups}, {kh, kw, c, f});
}

}  // namespace libraries_test
