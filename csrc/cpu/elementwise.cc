// Elementwise kernels: dst[i] = f(a[i]) or f(a[i], b[i]) over views of one shape, any strides; f is a row of core/ops.def.
//
// Everything goes through the vector formula, so that an element's bits do not depend on the path taken:
//   contiguous or repeated (stride 0) operand   loaded in place; the last few lanes by partial loads
//   other strides                               gathered into blocks of kBlock elements first, results scattered after
#include "decls.h"
#include "loops.h"
#include "math.h"

#include "../core/functors.h"

namespace NEEDLE_NS {

using needle::View;

constexpr std::int64_t kBlock = 256;

template <class T>
struct Contiguous {
  const T* p;
  vec<T> at(std::int64_t i) const { return load(p + i); }
  vec<T> first_of(std::int64_t i, std::int64_t n) const { return load_partial(p + i, n); }
};

template <class T>
struct Repeated {
  vec<T> value;
  vec<T> at(std::int64_t) const { return value; }
  vec<T> first_of(std::int64_t, std::int64_t) const { return value; }
};

template <class F, class T, class... Operands>
static void run(T* dst, std::int64_t n, bool streamed, const Operands... x) {
  constexpr std::int64_t width = lanes<T>;
  std::int64_t i = 0;
  if (streamed) {
    const auto misaligned = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(dst) % kVectorBytes);
    if (misaligned != 0) {
      i = (kVectorBytes - misaligned) / static_cast<std::int64_t>(sizeof(T));
      if (i > n) i = n;
      store_partial(dst, F::apply(x.first_of(0, i)...), i);
    }
    for (; i + width <= n; i += width) stream(dst + i, F::apply(x.at(i)...));
    stream_fence();
  } else {
    for (; i + width <= n; i += width) store(dst + i, F::apply(x.at(i)...));
  }
  if (i < n) store_partial(dst + i, F::apply(x.first_of(i, n - i)...), n - i);
}

// One operand never repeats (it is gathered if it does); of two, at most one.
template <class F, class T>
static void evaluate(T* dst, const T* const (&x)[1], const bool (&)[1], std::int64_t n, bool streamed) {
  run<F>(dst, n, streamed, Contiguous<T>{x[0]});
}

template <class F, class T>
static void evaluate(T* dst, const T* const (&x)[2], const bool (&repeats)[2], std::int64_t n, bool streamed) {
  if (repeats[0]) {
    run<F>(dst, n, streamed, Repeated<T>{broadcast<vec<T>>(*x[0])}, Contiguous<T>{x[1]});
  } else if (repeats[1]) {
    run<F>(dst, n, streamed, Contiguous<T>{x[0]}, Repeated<T>{broadcast<vec<T>>(*x[1])});
  } else {
    run<F>(dst, n, streamed, Contiguous<T>{x[0]}, Contiguous<T>{x[1]});
  }
}

// views: dst and the N operands.
template <class F, class T, int N>
static void map(View (&views)[N + 1]) {
  collapse_rows(views);
  const bool streamed = streams(views[0]);
  const std::int64_t out = inner_stride(views[0]);
  std::int64_t step[N];
  bool repeats[N], gathered[N], direct = out == 1;
  int repeated = 0;
  for (int k = 0; k < N; ++k) {
    step[k] = inner_stride(views[k + 1]);
    repeats[k] = step[k] == 0 && repeated < N - 1;
    repeated += repeats[k];
    gathered[k] = step[k] != 1 && !repeats[k];
    direct = direct && !gathered[k];
  }
  for_rows(views, [&](char* const (&p)[N + 1], std::int64_t n) {
    T* dst = reinterpret_cast<T*>(p[0]);
    const T* x[N];
    for (int k = 0; k < N; ++k) x[k] = reinterpret_cast<const T*>(p[k + 1]);
    if (direct) {
      evaluate<F>(dst, x, repeats, n, streamed);
      return;
    }
    alignas(kVectorBytes) T in[N][kBlock], result[kBlock];
    for (std::int64_t begin = 0; begin < n; begin += kBlock) {
      const std::int64_t m = n - begin < kBlock ? n - begin : kBlock;
      const T* block[N];
      for (int k = 0; k < N; ++k) {
        const T* from = block[k] = x[k] + begin * step[k];
        if (!gathered[k]) continue;
        for (std::int64_t i = 0; i < m; ++i) in[k][i] = from[i * step[k]];
        block[k] = in[k];
      }
      T* to = dst + begin * out;
      evaluate<F>(out == 1 ? to : result, block, repeats, m, false);
      if (out == 1) continue;
      for (std::int64_t i = 0; i < m; ++i) to[i * out] = result[i];
    }
  });
}

template <class F>
static void map_unary(View dst, View a) {
  View views[2] = {dst, a};
  needle::visit_computed(dst.dtype, [&](auto zero) { map<F, decltype(zero), 1>(views); });
}

template <class F>
static void map_binary(View dst, View a, View b) {
  View views[3] = {dst, a, b};
  needle::visit_computed(dst.dtype, [&](auto zero) { map<F, decltype(zero), 2>(views); });
}

void unary(needle::UnaryOp op, View dst, View a) {
  switch (op) {
#define NEEDLE_UNARY(name, formula) \
  case needle::UnaryOp::name:       \
    return map_unary<unary_##name>(dst, a);
#include "../core/ops.def"
    case needle::UnaryOp::count:
      break;
  }
}

void binary(needle::BinaryOp op, View dst, View a, View b) {
  switch (op) {
#define NEEDLE_BINARY(name, formula) \
  case needle::BinaryOp::name:       \
    return map_binary<binary_##name>(dst, a, b);
#include "../core/ops.def"
    case needle::BinaryOp::count:
      break;
  }
}

void binary_scalar(needle::BinaryOp op, View dst, View a, double s, bool reversed) {
  float single = static_cast<float>(s);
  View scalar = dst;  // s at every index
  scalar.data = dst.dtype == needle::DType::float64 ? static_cast<void*>(&s) : &single;
  for (int d = 0; d < dst.ndim; ++d) scalar.strides[d] = 0;
  reversed ? binary(op, dst, scalar, a) : binary(op, dst, a, scalar);
}

}  // namespace NEEDLE_NS
