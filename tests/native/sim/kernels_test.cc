// Every CUDA kernel on the simulator against plain loops (reference_backend.h), over random shapes,
// strides and schedules, with guard bands around every array. `kernels_test N` runs N rounds;
// `kernels_test --time` prints how long typical kernels take instead.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "../../../csrc/cuda/maths.cuh"
#include "../../../csrc/cuda/sim/scheduler.h"
#include "../../../csrc/cuda/storage.cuh"
#include "../cuda_device.h"
#include "../reference_backend.h"

namespace {

using namespace needle;
using needle_test::draw;

constexpr std::size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xa5;

using needle_test::device;
needle_test::ReferenceBackend reference;

// The same array on the device and on the host.
class Array {
 public:
  // Compact, or with permuted axes, gaps, negative strides and, for inputs, broadcast axes.
  Array(const std::vector<std::int64_t>& shape, DType dtype, bool plain, bool output) {
    view_ = {nullptr, dtype, static_cast<int>(shape.size()), {}, {}};
    std::vector<int> order(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) order[i] = static_cast<int>(i);
    if (!plain) std::shuffle(order.begin(), order.end(), needle_test::generator);
    std::int64_t stride = plain ? 1 : draw(1, 3) / 2 + 1, first = 0;
    for (std::size_t i = shape.size(); i-- > 0;) {
      const int d = order[i];
      const std::int64_t n = shape[static_cast<std::size_t>(d)];
      view_.shape[d] = n;
      const std::int64_t style = plain ? 0 : draw(0, 5);
      view_.strides[d] = style == 1 ? -stride : style == 2 && !output ? 0 : stride;
      if (view_.strides[d] < 0 && n > 0) first += (n - 1) * stride;
      stride *= std::max<std::int64_t>(n, 1) + (style == 3 ? 1 : 0);
    }
    if (!plain && draw(0, 1) == 1) first += 1;  // not aligned to 16 bytes
    const std::size_t item = itemsize(dtype);
    bytes_ = (static_cast<std::size_t>(stride) + 1) * item;
    std::vector<unsigned char> image(bytes_ + 2 * kGuard, kGuardByte);
    host_.resize(bytes_);
    const std::int64_t elements = static_cast<std::int64_t>(bytes_ / item);
    for (std::int64_t i = 0; i < elements; ++i) {
      visit_dtype(dtype, [&](auto zero) {
        using T = decltype(zero);
        const T value = Convert<T>::from(static_cast<double>(draw(-400, 400)) / 100.0);
        std::memcpy(host_.data() + static_cast<std::size_t>(i) * item, &value, item);
      });
    }
    if (!output) std::memcpy(image.data() + kGuard, host_.data(), bytes_);
    block_ = static_cast<unsigned char*>(device().raw_allocate(image.size()));
    device().copy_bytes(block_, image.data(), image.size(), CopyKind::to_device);
    if (output)
      host_.assign(bytes_, kGuardByte);  // untouched elements of an output stay as they are
    offset_ = static_cast<std::size_t>(first) * item;
  }
  ~Array() { device().raw_free(block_, bytes_ + 2 * kGuard); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  View here() { return at(host_.data()); }
  View there() { return at(block_ + kGuard); }

  // Sends the host's elements to the device again.
  void send() { device().copy_bytes(block_ + kGuard, host_.data(), bytes_, CopyKind::to_device); }

  // Compares the whole block, guard bands and gaps included: floats within `ulps` units of their
  // magnitude `scale`.
  bool agrees(double tolerance) {
    std::vector<unsigned char> image(bytes_ + 2 * kGuard);
    device().copy_bytes(image.data(), block_, image.size(), CopyKind::to_host);
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (image[i] != kGuardByte || image[kGuard + bytes_ + i] != kGuardByte) return false;
    }
    const unsigned char* got = image.data() + kGuard;
    if (is_floating(view_.dtype)) {
      bool same = true;
      visit_floating(view_.dtype, [&](auto zero) { same = close<decltype(zero)>(got, tolerance); });
      return same;
    }
    return std::memcmp(got, host_.data(), bytes_) == 0;
  }

 private:
  template <class T>
  bool close(const unsigned char* got, double tolerance) const {
    for (std::size_t i = 0; i < bytes_; i += sizeof(T)) {
      T a, b;
      std::memcpy(&a, got + i, sizeof a);
      std::memcpy(&b, host_.data() + i, sizeof b);
      const double unit = sizeof(T) == 8 ? 2.3e-16 : 1.2e-7;
      const auto x = Convert<double>::from(a), y = Convert<double>::from(b);
      const bool same = std::memcmp(&a, &b, sizeof a) == 0 || (x != x && y != y) ||
                        std::abs(x - y) <= tolerance * unit * (1 + std::abs(y));
      if (!same) return false;
    }
    return true;
  }
  View at(unsigned char* data) const {
    View v = view_;
    v.data = data + offset_;
    return v;
  }

  View view_;
  std::size_t bytes_, offset_;
  std::vector<unsigned char> host_;
  unsigned char* block_;
};

std::vector<std::int64_t> random_shape(int max_dims, std::int64_t max_size) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(draw(0, max_dims)));
  for (std::int64_t& n : shape) n = draw(1, max_size);
  return shape;
}

DType random_wide() { return draw(0, 1) == 1 ? DType::float64 : DType::float32; }
DType random_float() {
  return draw(0, 1) == 1 ? random_wide() : draw(0, 1) == 1 ? DType::float16 : DType::bfloat16;
}

// The arithmetic that the op table says: what the reference backend does not cover.
template <class T>
T formula(UnaryOp op, T x) {
  switch (op) {
    case UnaryOp::negate:
      return -x;
    case UnaryOp::abs:
      return std::fabs(x);
    case UnaryOp::sign:
      return x == 0 ? x : std::copysign(T(1), x);
    case UnaryOp::sqrt:
      return std::sqrt(x);
    case UnaryOp::rsqrt:
      return 1 / std::sqrt(x);
    case UnaryOp::exp:
      return std::exp(x);
    case UnaryOp::expm1:
      return std::expm1(x);
    case UnaryOp::log:
      return std::log(x);
    case UnaryOp::log1p:
      return std::log1p(x);
    case UnaryOp::sin:
      return std::sin(x);
    case UnaryOp::cos:
      return std::cos(x);
    case UnaryOp::tanh:
      return std::tanh(x);
    case UnaryOp::erf:
      return std::erf(x);
    case UnaryOp::erfc:
      return std::erfc(x);
    case UnaryOp::relu:
      return x < 0 ? 0 : x;
    case UnaryOp::sigmoid:  // the shared formulas: here their place counts, elsewhere their values
      return NEEDLE_NS::m::sigmoid(x);
    case UnaryOp::softplus:
      return NEEDLE_NS::m::softplus(x);
    case UnaryOp::silu:
      return NEEDLE_NS::m::silu(x);
    case UnaryOp::gelu:
      return NEEDLE_NS::m::gelu(x);
    case UnaryOp::gelu_tanh:
      return NEEDLE_NS::m::gelu_tanh(x);
    case UnaryOp::count:
      break;
  }
  return x;
}

template <class T>
T formula(BinaryOp op, T a, T b) {
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      return a / b;
    case BinaryOp::power:
      return std::pow(a, b);
    case BinaryOp::maximum:
      return a > b || a != a ? a : b;
    case BinaryOp::minimum:
      return a < b || a != a ? a : b;
    case BinaryOp::leaky_relu:
      return a > 0 ? a : a * b;
    case BinaryOp::leaky_slope:
      return a > 0 ? 1 : b;
    case BinaryOp::tanh_grad:
      return a * NEEDLE_NS::m::tanh_slope(b);
    case BinaryOp::sigmoid_grad:
      return a * NEEDLE_NS::m::sigmoid_slope(b);
    case BinaryOp::softplus_grad:
      return a * NEEDLE_NS::m::sigmoid(b);
    case BinaryOp::silu_grad:
      return a * NEEDLE_NS::m::silu_slope(b);
    case BinaryOp::gelu_grad:
      return a * NEEDLE_NS::m::gelu_slope(b);
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
    case BinaryOp::count:
      break;
  }
  return a;
}

template <class F>
void expect(View dst, F&& value) {
  needle_test::for_each_index(dst.shape, dst.ndim, [&](const std::int64_t* at) {
    visit_floating(dst.dtype, [&](auto zero) {
      using T = decltype(zero);
      *reference.address<T>(dst, at) = NEEDLE_NS::narrow<T>(value(NEEDLE_NS::widen(zero), at));
    });
  });
}

template <class T>
T element(const View& v, const std::int64_t* at) {
  return static_cast<T>(reference.load(v, at));
}

// Small and of any rank, or large enough for several blocks, tiles and slices; innermost
// dimensions that hold whole packs included.
std::vector<std::int64_t> any_shape() {
  switch (draw(0, 9)) {
    case 0:
      return {draw(1000, 3000)};
    case 1:
      return {draw(1, 3), draw(1, 60), 8 * draw(1, 12)};
    case 2:
      return {draw(8, 70), draw(8, 70)};
    default:
      return random_shape(5, 6);
  }
}

void test_elementwise() {
  const DType dtype = random_float();
  const auto shape = any_shape();
  const bool plain = draw(0, 1) == 1;
  Array dst(shape, dtype, plain, true), a(shape, dtype, plain, false),
      b(shape, dtype, plain, false);
  const View x = a.here(), y = b.here();
  const auto u = static_cast<UnaryOp>(draw(0, static_cast<int>(UnaryOp::count) - 1));
  device().unary(u, dst.there(), a.there());
  expect(dst.here(), [&](auto z, auto at) { return formula(u, element<decltype(z)>(x, at)); });
  CHECK(dst.agrees(0));

  const auto op = static_cast<BinaryOp>(draw(0, static_cast<int>(BinaryOp::count) - 1));
  device().binary(op, dst.there(), a.there(), b.there());
  expect(dst.here(), [&](auto z, auto at) {
    return formula(op, element<decltype(z)>(x, at), element<decltype(z)>(y, at));
  });
  CHECK(dst.agrees(0));

  const bool reversed = draw(0, 1) == 1;
  device().binary_scalar(op, dst.there(), a.there(), 1.1, reversed);
  expect(dst.here(), [&](auto z, auto at) {
    using T = decltype(z);
    T s{};
    visit_floating(dtype, [&](auto zero) {
      using Own = decltype(zero);
      const bool wide = sizeof zero == 2 && op < BinaryOp::equal;  // float32's beside 16 bits
      s = wide ? Convert<T>::from(Convert<float>::from(1.1))
               : Convert<T>::from(Convert<Own>::from(1.1));
    });
    const T e = element<T>(x, at);
    return reversed ? formula(op, s, e) : formula(op, e, s);
  });
  CHECK(dst.agrees(0));
}

void test_copy() {
  const auto to = static_cast<DType>(draw(0, kDTypeCount - 1));
  const auto from = static_cast<DType>(draw(0, kDTypeCount - 1));
  const auto shape = any_shape();
  const bool plain = draw(0, 1) == 1;
  Array dst(shape, to, plain, true), src(shape, from, plain, false);
  device().copy(dst.there(), src.there());
  reference.copy(dst.here(), src.here());
  CHECK(dst.agrees(0));
  const Scalar value =
      draw(0, 1) == 1 ? Scalar{0, (std::int64_t{1} << 53) + 1, true} : Scalar{2.7, 2, false};
  device().fill(dst.there(), value);
  reference.fill(dst.here(), value);
  CHECK(dst.agrees(0));
}

void test_reduce() {
  std::vector<std::int64_t> shape = random_shape(4, 7);
  if (draw(0, 3) == 0) shape.push_back(draw(30, 600));
  if (draw(0, 9) == 0) shape = {draw(1, 3), draw(8200, 13000)};
  if (draw(0, 9) == 0) shape = {draw(8200, 13000), draw(1, 3)};
  if (draw(0, 4) == 0) shape = {draw(1, 3), draw(1, 40), 8 * draw(1, 40)};
  if (draw(0, 9) == 0) shape = {draw(200, 900), 8 * draw(1, 3)};
  if (draw(0, 9) == 0) shape = {8 * draw(1000, 1600)};
  std::vector<std::int64_t> kept = shape;
  for (std::int64_t& n : kept) n = draw(0, 1) == 1 ? 1 : n;
  const DType dtype = random_float();
  Array dst(kept, dtype, draw(0, 1) == 1, true), a(shape, dtype, draw(0, 1) == 1, false);
  // Whole numbers: sums are exact in any order.
  needle_test::for_each_index(a.here().shape, a.here().ndim, [&](const std::int64_t* at) {
    reference.store(a.here(), at, std::round(reference.load(a.here(), at)));
  });
  a.send();
  for (ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
    device().reduce(op, dst.there(), a.there());
    reference.reduce(op, dst.here(), a.here());
    CHECK(dst.agrees(0));
  }
  // Factors of 1 and a few of -4 to 4: no overflow, however long.
  const auto thin = [](const View& v) {
    return needle_test::for_each_index(v.shape, v.ndim, [&](const std::int64_t* at) {
      if (draw(0, 9) != 0) reference.store(v, at, 1);
    });
  };
  Array few(random_shape(3, 6), dtype, true, false);
  std::vector<std::int64_t> ones(static_cast<std::size_t>(few.here().ndim), 1);
  Array product(ones, dtype, true, true);
  thin(few.here());
  few.send();
  device().reduce(ReduceOp::prod, product.there(), few.there());
  reference.reduce(ReduceOp::prod, product.here(), few.here());
  CHECK(product.agrees(300));
}

// Shape of random rank > 0 and an axis.
std::vector<std::int64_t> random_lanes(int& axis) {
  std::vector<std::int64_t> shape = random_shape(4, 6);
  shape.push_back(draw(1, draw(0, 4) == 0 ? 300 : 5));
  if (draw(0, 9) == 0) shape = {draw(1, 3), draw(2048, 5000)};  // in slices
  std::shuffle(shape.begin(), shape.end(), needle_test::generator);
  axis = static_cast<int>(draw(0, static_cast<std::int64_t>(shape.size()) - 1));
  return shape;
}

bool any_layout() { return draw(0, 1) == 1; }

void test_where() {
  const auto shape = random_shape(5, 6);
  const DType dtype = random_float();
  Array dst(shape, dtype, any_layout(), true), a(shape, dtype, any_layout(), false),
      b(shape, dtype, any_layout(), false),
      mask(shape, any_layout() ? DType::boolean : dtype, any_layout(), false);
  needle_test::for_each_index(shape.data(), static_cast<int>(shape.size()), [&](auto at) {
    if (draw(0, 1) == 1) return;
    visit_dtype(mask.here().dtype, [&](auto zero) {
      *reference.address<decltype(zero)>(mask.here(), at) = decltype(zero){};
    });
  });
  mask.send();
  device().where(dst.there(), mask.there(), a.there(), b.there());
  reference.where(dst.here(), mask.here(), a.here(), b.here());
  CHECK(dst.agrees(0));
}

void test_by_index() {
  int axis;
  std::vector<std::int64_t> shape = random_lanes(axis), wide = shape;
  const std::int64_t n = wide[static_cast<std::size_t>(axis)] = draw(1, 7);
  const DType dtype = random_float();
  Array small(shape, dtype, any_layout(), true), from(wide, dtype, any_layout(), false),
      index(shape, DType::int64, any_layout(), false), add(shape, dtype, any_layout(), false),
      sums(wide, dtype, any_layout(), true);
  needle_test::for_each_index(shape.data(), static_cast<int>(shape.size()), [&](auto at) {
    *reference.address<std::int64_t>(index.here(), at) = draw(0, n - 1);
  });
  index.send();
  device().gather(small.there(), from.there(), index.there(), axis);
  reference.gather(small.here(), from.here(), index.here(), axis);
  CHECK(small.agrees(0));
  device().fill(sums.there(), Scalar{0, 0, true});
  reference.fill(sums.here(), Scalar{0, 0, true});
  device().scatter_add(sums.there(), add.there(), index.there(), axis);
  reference.scatter_add(sums.here(), add.here(), index.here(), axis);
  CHECK(sums.agrees(0));
}

void test_along_axis() {
  int axis;
  const std::vector<std::int64_t> shape = random_lanes(axis);
  std::vector<std::int64_t> one = shape;
  one[static_cast<std::size_t>(axis)] = 1;
  const DType dtype = random_float();
  const bool reversed = draw(0, 1) == 1;
  Array dst(shape, dtype, any_layout(), true), a(shape, dtype, any_layout(), false),
      place(one, DType::int64, any_layout(), true);
  // Whole numbers: sums are exact in any order.
  needle_test::for_each_index(a.here().shape, a.here().ndim, [&](const std::int64_t* at) {
    reference.store(a.here(), at, std::round(reference.load(a.here(), at)));
  });
  a.send();
  if (draw(0, 2) == 0) {
    std::int64_t somewhere[kMaxDims] = {};
    for (std::size_t d = 0; d < shape.size(); ++d) somewhere[d] = draw(0, shape[d] - 1);
    reference.store(a.here(), somewhere, NAN);
    a.send();
  }
  device().cumsum(dst.there(), a.there(), axis, reversed);
  reference.cumsum(dst.here(), a.here(), axis, reversed);
  CHECK(dst.agrees(0));
  const ArgOp op = draw(0, 1) == 1 ? ArgOp::argmax : ArgOp::argmin;
  device().arg_reduce(op, place.there(), a.there(), axis);
  reference.arg_reduce(op, place.here(), a.here(), axis);
  CHECK(place.agrees(0));
}

void test_empty_reduce() {
  Array dst({3, 1}, DType::float32, true, true), a({3, 0}, DType::float32, true, false);
  device().reduce(ReduceOp::sum, dst.there(), a.there());
  expect(dst.here(), [](auto zero, auto) { return zero; });
  CHECK(dst.agrees(0));
  device().reduce(ReduceOp::max, dst.there(), a.there());
  expect(dst.here(), [](auto zero, auto) { return static_cast<decltype(zero)>(-HUGE_VAL); });
  CHECK(dst.agrees(0));
}

void test_matmul() {
  std::vector<std::int64_t> batch = random_shape(3, 3);
  const std::int64_t limit = draw(0, 4) == 0 ? 150 : 20;
  const std::int64_t m = draw(1, limit), n = draw(1, limit), k = draw(1, limit);
  const auto with = [&](std::int64_t rows, std::int64_t columns) {
    std::vector<std::int64_t> shape = batch;
    shape.insert(shape.end(), {rows, columns});
    return shape;
  };
  const DType dtype = random_wide();
  Array dst(with(m, n), dtype, draw(0, 1) == 1, true), a(with(m, k), dtype, draw(0, 1) == 1, false),
      b(with(k, n), dtype, draw(0, 1) == 1, false);
  device().matmul(dst.there(), a.there(), b.there());
  reference.matmul(dst.here(), a.here(), b.here());
  CHECK(dst.agrees(20 * static_cast<double>(k)));
}

void test_empty_matmul() {
  Array dst({2, 3, 4}, DType::float64, true, true), a({2, 3, 0}, DType::float64, true, false),
      b({2, 0, 4}, DType::float64, true, false);
  device().matmul(dst.there(), a.there(), b.there());
  expect(dst.here(), [](auto zero, auto) { return zero; });
  CHECK(dst.agrees(0));
}

void test_conv() {
  Conv2dParams p;
  const std::int64_t limit = draw(0, 9) == 0 ? 24 : 9;
  std::int64_t in[2], kernel[2], out[2];
  for (int d = 0; d < 2; ++d) {
    p.stride[d] = draw(1, 3);
    p.padding[d] = draw(0, 3);
    p.dilation[d] = draw(1, 3);
    kernel[d] = draw(1, 3);
    const std::int64_t reach = p.dilation[d] * (kernel[d] - 1) + 1;
    in[d] = std::max<std::int64_t>(draw(1, limit), reach - 2 * p.padding[d]);
    out[d] = (in[d] + 2 * p.padding[d] - reach) / p.stride[d] + 1;
  }
  p.groups = draw(1, 3);
  const std::int64_t images = draw(1, 3), channels = draw(1, 5), filters = draw(1, 5) * p.groups;
  const std::vector<std::int64_t> xs{images, in[0], in[1], channels * p.groups},
      ws{kernel[0], kernel[1], channels, filters}, ys{images, out[0], out[1], filters};
  const DType dtype = random_wide();
  Array x(xs, dtype, true, false), w(ws, dtype, true, false), dy(ys, dtype, true, false),
      y(ys, dtype, true, true), dx(xs, dtype, true, true), dw(ws, dtype, true, true);
  device().conv2d(y.there(), x.there(), w.there(), p);
  reference.conv2d(y.here(), x.here(), w.here(), p);
  CHECK(y.agrees(40 * static_cast<double>(kernel[0] * kernel[1] * channels)));
  device().conv2d_grad_input(dx.there(), dy.there(), w.there(), p);
  reference.conv2d_grad_input(dx.here(), dy.here(), w.here(), p);
  CHECK(dx.agrees(40 * static_cast<double>(kernel[0] * kernel[1] * filters)));
  device().conv2d_grad_weight(dw.there(), x.there(), dy.there(), p);
  reference.conv2d_grad_weight(dw.here(), x.here(), dy.here(), p);
  CHECK(dw.agrees(40 * static_cast<double>(images * out[0] * out[1])));
}

void test_pool() {
  Pool2dParams p{};
  std::int64_t in[2], out[2];
  for (int d = 0; d < 2; ++d) {
    p.kernel[d] = draw(1, 4);
    p.stride[d] = draw(1, 4);
    p.padding[d] = draw(0, p.kernel[d] / 2);
    in[d] = std::max<std::int64_t>(draw(1, 9), p.kernel[d] - 2 * p.padding[d]);
    out[d] = (in[d] + 2 * p.padding[d] - p.kernel[d]) / p.stride[d] + 1;
  }
  p.inside = draw(0, 1) == 1;
  const std::int64_t images = draw(1, 3), channels = draw(1, 6);
  const std::vector<std::int64_t> xs{images, in[0], in[1], channels},
      ys{images, out[0], out[1], channels};
  const DType dtype = random_wide();
  Array x(xs, dtype, true, false), dy(ys, dtype, true, false), y(ys, dtype, true, true),
      dx(xs, dtype, true, true);
  needle_test::for_each_index(x.here().shape, 4, [&](const std::int64_t* at) {  // with ties
    reference.store(x.here(), at, std::round(reference.load(x.here(), at)));
  });
  x.send();
  for (const PoolOp op : {PoolOp::max, PoolOp::mean}) {
    device().pool2d(op, y.there(), x.there(), p);
    reference.pool2d(op, y.here(), x.here(), p);
    CHECK(y.agrees(op == PoolOp::max ? 0 : 40));
    const bool of_x = op == PoolOp::max;
    device().pool2d_grad(op, dx.there(), dy.there(), of_x ? x.there() : View{}, p);
    reference.pool2d_grad(op, dx.here(), dy.here(), of_x ? x.here() : View{}, p);
    CHECK(dx.agrees(80));
  }
}

// Milliseconds of the fastest of five runs.
template <class F>
double milliseconds(F&& f) {
  double best = HUGE_VAL;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
  }
  return best;
}

void print_times() {
  const DType f = DType::float32;
  Array a({64, 64}, f, true, false), b({64, 64}, f, true, false), c({64, 64}, f, true, true);
  Array row({64, 1}, f, true, true), column({1, 64}, f, true, true);
  std::printf("matmul 64x64x64        %7.3f ms\n",
              milliseconds([&] { device().matmul(c.there(), a.there(), b.there()); }));
  std::printf("exp 64x64              %7.3f ms\n",
              milliseconds([&] { device().unary(UnaryOp::exp, c.there(), a.there()); }));
  std::printf("sum 64x64 over rows    %7.3f ms\n",
              milliseconds([&] { device().reduce(ReduceOp::sum, row.there(), a.there()); }));
  std::printf("sum 64x64 over columns %7.3f ms\n",
              milliseconds([&] { device().reduce(ReduceOp::sum, column.there(), a.there()); }));
  const Conv2dParams p{{1, 1}, {1, 1}, {1, 1}, 1};
  Array x({2, 14, 14, 16}, f, true, false), w({3, 3, 16, 32}, f, true, false),
      dy({2, 14, 14, 32}, f, true, false), y({2, 14, 14, 32}, f, true, true),
      dx({2, 14, 14, 16}, f, true, true), dw({3, 3, 16, 32}, f, true, true);
  std::printf(
      "conv 2x14x14x16, 3x3x16x32: forward %.3f, grad input %.3f, grad weight %.3f ms\n",
      milliseconds([&] { device().conv2d(y.there(), x.there(), w.there(), p); }),
      milliseconds([&] { device().conv2d_grad_input(dx.there(), dy.there(), w.there(), p); }),
      milliseconds([&] { device().conv2d_grad_weight(dw.there(), x.there(), dy.there(), p); }));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--time") == 0) {
    print_times();
    return 0;
  }
  CHECK(!NEEDLE_NS::unavailable_reason().has_value() && NEEDLE_NS::device_count() == 1);
  CHECK(!device().host_memory());
  CHECK_THROWS(std::out_of_range, "[device]", NEEDLE_NS::backend(1));
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 300;
  for (int i = 0; i < rounds && needle_test::failures == 0; ++i) {
    needle_sim::set_seed(static_cast<std::uint64_t>(i));
    test_elementwise();
    test_copy();
    test_reduce();
    test_matmul();
    test_conv();
    test_pool();
    test_where();
    test_by_index();
    test_along_axis();
  }
  test_empty_reduce();
  test_empty_matmul();
  return needle_test::summary("cuda kernels on the simulator");
}
