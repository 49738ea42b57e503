// A backend of plain loops over host memory, to test the core with. Every kernel also checks what
// the interface promises it (views not empty, one dtype, outputs apart from inputs), so that the
// core's side is tested too.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "../../csrc/core/ndarray.h"
#include "check.h"

namespace needle_test {

using namespace needle;

// Calls f with the multi-index of every element, in row-major order.
template <class F>
void for_each_index(const std::int64_t* shape, int ndim, F&& f) {
  std::int64_t index[kMaxDims] = {};
  std::int64_t count = 1;
  for (int i = 0; i < ndim; ++i) count *= shape[i];
  for (; count > 0; --count) {
    f(index);
    for (int i = ndim - 1; i >= 0 && ++index[i] == shape[i]; --i) index[i] = 0;
  }
}

class ReferenceBackend : public Backend {
 public:
  // Pointers of far memory are off by this much, so that touching them directly faults.
  explicit ReferenceBackend(bool host = true)
      : host_(host), shift_(host ? 0 : std::uintptr_t{1} << 45) {}

  std::size_t room = std::numeric_limits<std::size_t>::max();  // what raw_allocate may still give
  std::size_t held = 0;
  int raw_allocations = 0;

  void* raw_allocate(std::size_t bytes) override {
    ++raw_allocations;
    if (bytes > room) return nullptr;
    room -= bytes;
    held += bytes;
    return far(std::aligned_alloc(64, bytes));
  }
  void raw_free(void* block, std::size_t bytes) noexcept override {
    room += bytes;
    held -= bytes;
    std::free(near(block));
  }
  bool host_memory() const noexcept override { return host_; }
  void copy_bytes(void* dst, const void* src, std::size_t bytes, CopyKind kind) override {
    std::memcpy(kind == CopyKind::to_host ? dst : near(dst),
                kind == CopyKind::to_device ? src : near(const_cast<void*>(src)), bytes);
  }
  void fill_bytes(void* dst, unsigned char value, std::size_t bytes) override {
    std::memset(near(dst), value, bytes);
  }
  void synchronize() override {}

  void copy(View dst, View src) override {
    check_output(dst, {src}, false);
    visit_dtype(dst.dtype, [&](auto to) {
      visit_dtype(src.dtype, [&](auto from) {
        using To = decltype(to);
        using From = decltype(from);
        for_each_index(dst.shape, dst.ndim, [&](const std::int64_t* at) {
          *address<To>(dst, at) = Convert<To>::from(*address<From>(src, at));
        });
      });
    });
  }
  void fill(View dst, Scalar value) override {
    check_output(dst, {}, false);
    visit_dtype(dst.dtype, [&](auto to) {
      using To = decltype(to);
      const To converted =
          value.integral ? Convert<To>::from(value.integer) : Convert<To>::from(value.real);
      for_each_index(dst.shape, dst.ndim,
                     [&](const std::int64_t* at) { *address<To>(dst, at) = converted; });
    });
  }
  void unary(UnaryOp op, View dst, View a) override {
    check_output(dst, {a}, true);
    CHECK(op == UnaryOp::negate);
    each(dst, [&](const std::int64_t* at) { return -load(a, at); });
  }
  void binary(BinaryOp op, View dst, View a, View b) override {
    check_output(dst, {a, b}, true);
    each(dst, [&](const std::int64_t* at) { return apply(op, load(a, at), load(b, at)); });
  }
  void binary_scalar(BinaryOp op, View dst, View a, double s, bool reversed) override {
    check_output(dst, {a}, true);
    each(dst, [&](const std::int64_t* at) {
      return reversed ? apply(op, s, load(a, at)) : apply(op, load(a, at), s);
    });
  }
  void clip(View dst, View a, double low, double high) override {
    check_output(dst, {a}, true);
    each(dst, [&](const std::int64_t* at) {
      const double x = load(a, at);
      return x < low ? low : x > high ? high : x;
    });
  }
  void where(View dst, View mask, View a, View b) override {
    check_output(dst, {a, b}, true);
    CHECK(std::equal(dst.shape, dst.shape + dst.ndim, mask.shape));
    CHECK(mask.dtype == DType::boolean || mask.dtype == dst.dtype);
    each(dst, [&](const std::int64_t* at) {
      const bool chosen =
          mask.dtype == DType::boolean ? *address<bool>(mask, at) : load(mask, at) != 0;
      return chosen ? load(a, at) : load(b, at);
    });
  }
  void gather(View dst, View a, View index, int axis) override {
    check_index(dst, a, index, axis);
    CHECK(dst.dtype == a.dtype);
    visit_dtype(dst.dtype, [&](auto zero) {
      using T = decltype(zero);
      for_each_index(dst.shape, dst.ndim, [&](const std::int64_t* at) {
        std::int64_t from[kMaxDims];
        std::copy(at, at + dst.ndim, from);
        from[axis] = *address<std::int64_t>(index, at);
        *address<T>(dst, at) = *address<T>(a, from);
      });
    });
  }
  void scatter_add(View dst, View a, View index, int axis) override {
    check_index(a, dst, index, axis);
    CHECK(dst.dtype == a.dtype && is_floating(a.dtype));
    Sums sums(dst);
    for_each_index(a.shape, a.ndim, [&](const std::int64_t* at) {
      std::int64_t to[kMaxDims];
      std::copy(at, at + a.ndim, to);
      to[axis] = *address<std::int64_t>(index, at);
      double& sum = sums.at(to);
      sum = rounded(dst, sum + load(a, at));
    });
    each(dst, [&](const std::int64_t* at) { return load(dst, at) + sums.at(at); });
  }
  void cumsum(View dst, View a, int axis, bool reversed) override {
    check_output(dst, {a}, true);
    each(dst, [&](const std::int64_t* at) {
      std::int64_t from[kMaxDims];
      std::copy(at, at + a.ndim, from);
      const std::int64_t terms = reversed ? a.shape[axis] - at[axis] : at[axis] + 1;
      double sum = 0;
      for (std::int64_t k = 0; k < terms; ++k) {
        from[axis] = reversed ? a.shape[axis] - 1 - k : k;
        sum = rounded(dst, sum + load(a, from));
      }
      return sum;
    });
  }
  void arg_reduce(ArgOp op, View dst, View a, int axis) override {
    CHECK(dst.dtype == DType::int64 && dst.shape[axis] == 1 && numel(a) > 0);
    for_each_index(dst.shape, dst.ndim, [&](const std::int64_t* at) {
      std::int64_t from[kMaxDims], best = 0;
      std::copy(at, at + a.ndim, from);
      const auto key = [&](std::int64_t i) {  // the largest key wins
        from[axis] = i;
        const double x = load(a, from);
        return x != x ? std::pair{true, 0.0} : std::pair{false, op == ArgOp::argmax ? x : -x};
      };
      for (std::int64_t i = 1; i < a.shape[axis]; ++i) best = key(i) > key(best) ? i : best;
      *address<std::int64_t>(dst, at) = best;
    });
  }
  void reduce(ReduceOp op, View dst, View a) override {
    CHECK(dst.ndim == a.ndim && numel(dst) > 0 && numel(a) > 0);
    Sums results(dst, identity(op));
    for_each_index(a.shape, a.ndim, [&](const std::int64_t* at) {
      std::int64_t to[kMaxDims];
      for (int i = 0; i < a.ndim; ++i) to[i] = dst.shape[i] == 1 ? 0 : at[i];
      double& result = results.at(to);
      result = rounded(dst, combine(op, result, load(a, at)));
    });
    each(dst, [&](const std::int64_t* at) { return results.at(at); });
  }
  void matmul(View dst, View a, View b) override {
    CHECK(numel(dst) > 0 && numel(a) > 0 && numel(b) > 0 && a.ndim == dst.ndim &&
          b.ndim == dst.ndim);
    each(dst, [&](const std::int64_t* at) {
      std::int64_t p[kMaxDims], q[kMaxDims];
      std::copy(at, at + dst.ndim, p);
      std::copy(at, at + dst.ndim, q);
      double sum = 0;
      for (std::int64_t k = 0; k < a.shape[a.ndim - 1]; ++k) {
        p[dst.ndim - 1] = k;
        q[dst.ndim - 2] = k;
        sum += load(a, p) * load(b, q);
      }
      return sum;
    });
  }
  // Whose core has few checks and no geometry: tests/unit/test_nd_rows.py asks them of the devices.
  void softmax(SoftmaxOp, View, View, unsigned) override { CHECK(false); }
  void softmax_grad(SoftmaxOp, View, View, View, unsigned) override { CHECK(false); }
  void standardize(const Standardized&, View, View, View, unsigned, double) override {
    CHECK(false);
  }
  void standardize_grad(const StandardizedGrad&, View, View, View, View, View, unsigned) override {
    CHECK(false);
  }
  void sgd_step(std::span<const SgdPart>, const SgdStep&) override { CHECK(false); }
  void adam_step(std::span<const AdamPart>, const AdamStep&) override { CHECK(false); }
  void lstm_cell(View, View, View, View) override { CHECK(false); }
  void lstm_cell_grad(View, View, View, View, View, View) override { CHECK(false); }
  void conv2d(View y, View x, View w, const Conv2dParams& p) override {
    clear(y);
    walk(y, x, w, p, [&](auto at_y, auto at_x, auto at_w) {
      store(y, at_y, load(y, at_y) + load(x, at_x) * load(w, at_w));
    });
  }
  void conv2d_grad_input(View dx, View dy, View w, const Conv2dParams& p) override {
    clear(dx);
    walk(dy, dx, w, p, [&](auto at_y, auto at_x, auto at_w) {
      store(dx, at_x, load(dx, at_x) + load(dy, at_y) * load(w, at_w));
    });
  }
  void conv2d_grad_weight(View dw, View x, View dy, const Conv2dParams& p) override {
    clear(dw);
    walk(dy, x, dw, p, [&](auto at_y, auto at_x, auto at_w) {
      store(dw, at_w, load(dw, at_w) + load(x, at_x) * load(dy, at_y));
    });
  }

  void pool2d(PoolOp op, View y, View x, const Pool2dParams& p) override {
    CHECK(numel(y) > 0 && numel(x) > 0 && is_compact(y) && is_compact(x));
    each(y, [&](const std::int64_t* at) { return pooled(op, x, p, at); });
  }
  void pool2d_grad(PoolOp op, View dx, View dy, View x, const Pool2dParams& p) override {
    CHECK(numel(dx) > 0 && is_compact(dx) && is_compact(dy) &&
          (x.data == nullptr) == (op == PoolOp::mean));
    Sums sums(dx);
    for_each_index(dy.shape, dy.ndim, [&](const std::int64_t* at) {
      const double best = op == PoolOp::max ? pooled(op, x, p, at) : 0;
      const auto chosen = [&](const std::int64_t* place) {
        if (op == PoolOp::mean) return true;
        const double v = load(x, place);
        return v == best || v != v;
      };
      std::int64_t inside = 0, ties = 0;
      each_in_window(dx, p, at, [&](const std::int64_t* place) {
        ++inside;
        ties += chosen(place) ? 1 : 0;
      });
      const std::int64_t whole = p.kernel[0] * p.kernel[1];
      if (op == PoolOp::max && best == -HUGE_VAL) ties += whole - inside;
      if (op == PoolOp::mean) ties = p.inside ? inside : whole;
      each_in_window(dx, p, at, [&](const std::int64_t* place) {
        if (chosen(place)) sums.at(place) += load(dy, at) / static_cast<double>(ties);
      });
    });
    each(dx, [&](const std::int64_t* at) { return sums.at(at); });
  }

  static double identity(ReduceOp op) {
    return op == ReduceOp::sum    ? 0.0
           : op == ReduceOp::prod ? 1.0
           : op == ReduceOp::max  ? -HUGE_VAL
                                  : HUGE_VAL;
  }
  static double combine(ReduceOp op, double a, double b) {
    if (op == ReduceOp::sum) return a + b;
    if (op == ReduceOp::prod) return a * b;
    return op == ReduceOp::max ? std::max(a, b) : std::min(a, b);
  }

  void* near(void* p) const {
    return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(p) - shift_);
  }
  void* far(void* p) const {
    return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(p) + shift_);
  }

  template <class T>
  T* address(const View& v, const std::int64_t* at) const {
    std::int64_t offset = 0;
    for (int i = 0; i < v.ndim; ++i) offset += at[i] * v.strides[i];
    return static_cast<T*>(near(v.data)) + offset;
  }
  double load(const View& v, const std::int64_t* at) const {
    double value = 0;
    visit_floating(v.dtype, [&](auto zero) {
      value = Convert<double>::from(*address<decltype(zero)>(v, at));
    });
    return value;
  }
  void store(const View& v, const std::int64_t* at, double value) const {
    visit_floating(v.dtype, [&](auto zero) {
      using T = decltype(zero);
      *address<T>(v, at) = Convert<T>::from(value);
    });
  }

 private:
  // A number for every element of a view, in what its dtype is summed in.
  class Sums {
   public:
    explicit Sums(const View& v, double first = 0)
        : view_(v), values_(static_cast<std::size_t>(numel(v)), first) {}
    double& at(const std::int64_t* index) {
      std::int64_t place = 0;
      for (int i = 0; i < view_.ndim; ++i) place = place * view_.shape[i] + index[i];
      return values_[static_cast<std::size_t>(place)];
    }

   private:
    View view_;
    std::vector<double> values_;
  };
  static double rounded(const View& v, double sum) {
    return v.dtype == DType::float64 ? sum : static_cast<float>(sum);
  }

  static double apply(BinaryOp op, double a, double b) {
    if (op == BinaryOp::add) return a + b;
    if (op == BinaryOp::subtract) return a - b;
    CHECK(op == BinaryOp::multiply);
    return a * b;
  }
  template <class F>
  void each(const View& dst, F&& value) const {
    for_each_index(dst.shape, dst.ndim, [&](const std::int64_t* at) { store(dst, at, value(at)); });
  }
  // The places of an image that a window holds; at is that of what is made of it.
  template <class F>
  void each_in_window(const View& x, const Pool2dParams& p, const std::int64_t* at, F&& f) const {
    for (std::int64_t i = 0; i < p.kernel[0]; ++i) {
      for (std::int64_t j = 0; j < p.kernel[1]; ++j) {
        const std::int64_t place[] = {at[0], at[1] * p.stride[0] - p.padding[0] + i,
                                      at[2] * p.stride[1] - p.padding[1] + j, at[3]};
        const bool inside =
            place[1] >= 0 && place[1] < x.shape[1] && place[2] >= 0 && place[2] < x.shape[2];
        if (inside) f(place);
      }
    }
  }
  double pooled(PoolOp op, const View& x, const Pool2dParams& p, const std::int64_t* at) const {
    double best = -HUGE_VAL, sum = 0, inside = 0;
    each_in_window(x, p, at, [&](const std::int64_t* place) {
      const double v = load(x, place);
      best = v > best || v != v ? v : best;
      sum += v;
      ++inside;
    });
    if (op == PoolOp::max) return sum != sum ? NAN : best;
    return sum / (p.inside ? inside : static_cast<double>(p.kernel[0] * p.kernel[1]));
  }
  void clear(const View& dst) const {
    CHECK(numel(dst) > 0 && is_compact(dst));
    each(dst, [](const std::int64_t*) { return 0.0; });
  }
  // Every product of a convolution: the positions of y, x and w that it joins.
  template <class F>
  void walk(const View& y, const View& x, const View& w, const Conv2dParams& p, F&& f) const {
    CHECK(numel(y) > 0 && numel(x) > 0 && numel(w) > 0 && is_compact(y) && is_compact(x) &&
          is_compact(w));
    const std::int64_t outputs = w.shape[3] / p.groups;
    for_each_index(y.shape, 4, [&](const std::int64_t* at_y) {
      for_each_index(w.shape, 3, [&](const std::int64_t* k) {
        const std::int64_t row = at_y[1] * p.stride[0] - p.padding[0] + k[0] * p.dilation[0];
        const std::int64_t column = at_y[2] * p.stride[1] - p.padding[1] + k[1] * p.dilation[1];
        if (row < 0 || row >= x.shape[1] || column < 0 || column >= x.shape[2]) return;
        const std::int64_t at_x[] = {at_y[0], row, column, at_y[3] / outputs * w.shape[2] + k[2]};
        const std::int64_t at_w[] = {k[0], k[1], k[2], at_y[3]};
        f(at_y, at_x, at_w);
      });
    });
  }
  void check_output(const View& dst, std::initializer_list<View> inputs, bool compute) const {
    CHECK(numel(dst) > 0);
    for (int i = 0; i < dst.ndim; ++i) CHECK(dst.shape[i] == 1 || dst.strides[i] != 0);
    for (const View& in : inputs) {
      CHECK(in.ndim == dst.ndim && std::equal(dst.shape, dst.shape + dst.ndim, in.shape));
      CHECK(!compute || (in.dtype == dst.dtype && is_floating(in.dtype)));
      CHECK(last_byte(in) < first_byte(dst) || last_byte(dst) < first_byte(in));
    }
  }
  // small and index have one shape, wide differs from it along axis only; indices are in range.
  void check_index(const View& small, const View& wide, const View& index, int axis) const {
    CHECK(numel(small) > 0 && index.dtype == DType::int64 && axis >= 0 && axis < small.ndim);
    for (int d = 0; d < small.ndim; ++d) {
      CHECK(index.shape[d] == small.shape[d] && (d == axis || wide.shape[d] == small.shape[d]));
    }
    for_each_index(index.shape, index.ndim, [&](const std::int64_t* at) {
      const std::int64_t i = *address<std::int64_t>(index, at);
      CHECK(i >= 0 && i < wide.shape[axis]);
    });
  }
  static std::int64_t end_byte(const View& v, bool high) {
    std::int64_t offset = 0;
    for (int i = 0; i < v.ndim; ++i) {
      if ((v.strides[i] > 0) == high) offset += (v.shape[i] - 1) * v.strides[i];
    }
    const auto item = static_cast<std::int64_t>(itemsize(v.dtype));
    return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(v.data)) + offset * item +
           (high ? item - 1 : 0);
  }
  static std::int64_t first_byte(const View& v) { return end_byte(v, false); }
  static std::int64_t last_byte(const View& v) { return end_byte(v, true); }

  bool host_;
  std::uintptr_t shift_;
};

}  // namespace needle_test
