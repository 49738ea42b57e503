// Elementwise ops: dst[i] = op(a[i]), op(a[i], b[i]) or op(a[i], s), all of one shape (broadcast
// inputs have zero strides). The formulas come from core/ops.def; map.cuh chooses the contiguous or
// the strided kernel.
#include "kernels.h"
#include "map.cuh"
#include "maths.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {
namespace {

using needle::BinaryOp;
using needle::UnaryOp;
using needle::View;

// A formula, chosen when the kernel is compiled.
template <class Op>
struct Apply {
  template <class T, class... More>
  NEEDLE_HD T operator()(T x, More... y) const {
    return narrow<T>(Op::apply(widen(x), widen(y)...));
  }
  // In what is computed in.
  template <class V>
  NEEDLE_HD V wide(V a, V b) const {
    return Op::apply(a, b);
  }
};

// A formula, chosen when the kernel runs.
struct AnyUnary {
  UnaryOp op;
  template <class T>
  NEEDLE_HD T operator()(T x) const {
    switch (op) {
#define NEEDLE_UNARY(name, formula) \
  case UnaryOp::name:               \
    return Apply<unary_##name>{}(x);
#include "../core/ops.def"
      case UnaryOp::count:
        break;
    }
    return x;
  }
};

struct AnyBinary {
  BinaryOp op;
  template <class T>
  NEEDLE_HD T operator()(T a, T b) const {
    return narrow<T>(wide(widen(a), widen(b)));
  }
  template <class V>
  NEEDLE_HD V wide(V a, V b) const {
    switch (op) {
#define NEEDLE_BINARY(name, formula) \
  case BinaryOp::name:               \
    return binary_##name::apply(a, b);
#include "../core/ops.def"
      case BinaryOp::count:
        break;
    }
    return a;
  }
};

// f(x, s), or f(s, x) when reversed.
template <class F, class T>
struct WithScalar {
  F f;
  Compute<T> s;
  bool reversed;
  NEEDLE_HD T operator()(T v) const {
    const Compute<T> x = widen(v);
    return narrow<T>(f.wide(reversed ? s : x, reversed ? x : s));
  }
};

template <class T>
struct Clip {
  Compute<T> low, high;
  NEEDLE_HD T operator()(T x) const {
    const Compute<T> v = widen(x);
    return narrow<T>(v < low ? low : high < v ? high : v);  // NaN stays, and what equals a bound
  }
};

// What is compared with an array of 16-bit floats is a number of theirs, so that x == 0.1 holds
// where x was made of it; beside them in a formula it is one of float32, as in torch.
bool compares(BinaryOp op) {
  switch (op) {
    case BinaryOp::equal:
    case BinaryOp::not_equal:
    case BinaryOp::less:
    case BinaryOp::less_equal:
    case BinaryOp::greater:
    case BinaryOp::greater_equal:
      return true;
    default:
      return false;
  }
}

template <class Op>
void run_unary(const Stream& stream, UnaryOp op, View dst, View a) {
  View views[] = {dst, a};
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    map<T, T>(stream, Apply<Op>{}, AnyUnary{op}, views);
  });
}

template <class Op>
void run_binary(const Stream& stream, BinaryOp op, View dst, View a, View b) {
  View views[] = {dst, a, b};
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    map<T, T>(stream, Apply<Op>{}, AnyBinary{op}, views);
  });
}

template <class Op>
void run_binary_scalar(const Stream& stream, BinaryOp op, View dst, View a, double s,
                       bool reversed) {
  View views[] = {dst, a};
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto wide = needle::Convert<Compute<T>>::from(s);
    const Compute<T> scalar = compares(op) ? widen(needle::Convert<T>::from(s)) : wide;
    map<T, T>(stream, WithScalar<Apply<Op>, T>{{}, scalar, reversed},
              WithScalar<AnyBinary, T>{{op}, scalar, reversed}, views);
  });
}

}  // namespace

void unary(const Stream& stream, UnaryOp op, View dst, View a) {
  switch (op) {
#define NEEDLE_UNARY(name, formula) \
  case UnaryOp::name:               \
    return run_unary<unary_##name>(stream, op, dst, a);
#include "../core/ops.def"
    case UnaryOp::count:
      return;
  }
}

void binary(const Stream& stream, BinaryOp op, View dst, View a, View b) {
  switch (op) {
#define NEEDLE_BINARY(name, formula) \
  case BinaryOp::name:               \
    return run_binary<binary_##name>(stream, op, dst, a, b);
#include "../core/ops.def"
    case BinaryOp::count:
      return;
  }
}

void binary_scalar(const Stream& stream, BinaryOp op, View dst, View a, double s, bool reversed) {
  switch (op) {
#define NEEDLE_BINARY(name, formula) \
  case BinaryOp::name:               \
    return run_binary_scalar<binary_##name>(stream, op, dst, a, s, reversed);
#include "../core/ops.def"
    case BinaryOp::count:
      return;
  }
}

void clip(const Stream& stream, View dst, View a, double low, double high) {
  View views[] = {dst, a};
  needle::visit_floating(dst.dtype, [&](auto zero) {
    using T = decltype(zero);
    using C = needle::Convert<Compute<T>>;
    const Clip<T> f{C::from(low), C::from(high)};
    map<T, T>(stream, f, f, views);
  });
}

}  // namespace NEEDLE_NS
