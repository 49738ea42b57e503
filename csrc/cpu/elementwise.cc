// Elementwise kernels: dst[i] = f(a[i]) or f(a[i], b[i]) over views of one shape and any strides;
// f is a row of core/ops.def.
//
// Everything goes through the vector formula, so that an element's bits do not depend on the path:
//   - contiguous and repeated (stride 0) operands are loaded in place, the last lanes in part
//   - others are gathered into blocks of kBlock elements first, and results scattered after
#include "decls.h"
#include "loops.h"
#include "math.h"
#include "powers.h"
#include "transpose.h"

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
    const auto misaligned =
        static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(dst) % kVectorBytes);
    if (misaligned != 0) {
      i = (kVectorBytes - misaligned) / static_cast<std::int64_t>(sizeof(T));
      if (i > n) i = n;
      store_partial(dst, F::apply(x.first_of(0, i)...), i);
    }
    for (; i + width <= n; i += width) stream(dst + i, F::apply(x.at(i)...));
  } else {
    for (; i + width <= n; i += width) store(dst + i, F::apply(x.at(i)...));
  }
  if (i < n) store_partial(dst + i, F::apply(x.first_of(i, n - i)...), n - i);
}

// One operand never repeats (it is gathered if it does); of two, at most one.
template <class F, class T>
static void evaluate(T* dst, const T* const (&x)[1], const bool (&)[1], std::int64_t n,
                     bool streamed) {
  run<F>(dst, n, streamed, Contiguous<T>{x[0]});
}

template <class F, class T>
static void evaluate(T* dst, const T* const (&x)[2], const bool (&repeats)[2], std::int64_t n,
                     bool streamed) {
  if (repeats[0]) {
    run<F>(dst, n, streamed, Repeated<T>{broadcast<vec<T>>(*x[0])}, Contiguous<T>{x[1]});
  } else if (repeats[1]) {
    run<F>(dst, n, streamed, Contiguous<T>{x[0]}, Repeated<T>{broadcast<vec<T>>(*x[1])});
  } else {
    run<F>(dst, n, streamed, Contiguous<T>{x[0]}, Contiguous<T>{x[1]});
  }
}

// A view and two numbers.
template <class F, class T>
static void evaluate(T* dst, const T* const (&x)[3], const bool (&repeats)[3], std::int64_t n,
                     bool streamed) {
  const auto number = [&](int k) { return Repeated<T>{broadcast<vec<T>>(*x[k])}; };
  if (repeats[0]) {  // the last one is gathered then
    run<F>(dst, n, streamed, number(0), number(1), Contiguous<T>{x[2]});
  } else {
    run<F>(dst, n, streamed, Contiguous<T>{x[0]}, number(1), number(2));
  }
}

// The axis along which some operand is contiguous that would be gathered along the innermost one,
// so that rows are best taken several at a time; -1 where there is none.
template <int N>
static int turned_axis(const View (&views)[N], const bool (&gathered)[N - 1]) {
  const int inner = views[0].ndim - 1;
  if (inner_stride(views[0]) != 1 || inner_size(views[0]) < 16) return -1;
  for (int k = 1; k < N; ++k) {
    for (int d = 0; gathered[k - 1] && d < inner; ++d) {
      if (views[k].strides[d] == 1 && views[k].shape[d] >= 8) return d;
    }
  }
  return -1;
}

// Every step-th element of a row. By twos, as of a[::2], the compiler has shuffles.
template <class T>
static void gather(T* __restrict__ to, const T* __restrict__ from, std::int64_t step,
                   std::int64_t n) {
  if (step == 2) {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[2 * i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = from[i * step];
  }
}

// views: dst and the N operands.
template <class F, class T, int N>
static void map(View (&views)[N + 1]) {
  constexpr std::int64_t most_rows = 64 / sizeof(T);  // a cache line of a turned operand
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
  if (direct) {
    for_rows(views, [&](char* const(&p)[N + 1], std::int64_t n) {
      const T* x[N];
      for (int k = 0; k < N; ++k) x[k] = reinterpret_cast<const T*>(p[k + 1]);
      evaluate<F>(reinterpret_cast<T*>(p[0]), x, repeats, n, streamed);
    });
    return;
  }
  const int axis = turned_axis(views, gathered);
  std::int64_t apart[N + 1] = {};  // of rows that are taken together
  for (int k = 0; axis >= 0 && k <= N; ++k) apart[k] = views[k].strides[axis];
  const auto blocks = [&](std::int64_t rows) {
    return [&, rows](char* const(&p)[N + 1], std::int64_t n) {
      alignas(kVectorBytes) T in[N][most_rows * kBlock], result[kBlock];
      for (std::int64_t begin = 0; begin < n; begin += kBlock) {
        const std::int64_t m = n - begin < kBlock ? n - begin : kBlock;
        const T* x[N];
        for (int k = 0; k < N; ++k) {
          x[k] = reinterpret_cast<const T*>(p[k + 1]) + begin * step[k];
          if (!gathered[k]) continue;
          if (axis >= 0 && apart[k + 1] == 1) {
            transpose_band(in[k], kBlock, x[k], step[k], rows, m);
            continue;
          }
          for (std::int64_t r = 0; r < rows; ++r) {
            gather(in[k] + r * kBlock, x[k] + r * apart[k + 1], step[k], m);
          }
        }
        for (std::int64_t r = 0; r < rows; ++r) {
          T* to = reinterpret_cast<T*>(p[0]) + begin * out + r * apart[0];
          const T* row[N];
          for (int k = 0; k < N; ++k) {
            row[k] = gathered[k] ? in[k] + r * kBlock : x[k] + r * apart[k + 1];
          }
          evaluate<F>(out == 1 ? to : result, row, repeats, m, false);
          if (out == 1) continue;
          for (std::int64_t i = 0; i < m; ++i) to[i * out] = result[i];
        }
      }
    };
  };
  if (axis < 0) return for_rows(views, blocks(1));
  // Whole groups of rows, then the rows that remain.
  const std::int64_t size = views[0].shape[axis], rest = size % most_rows;
  View last[N + 1];
  for (int k = 0; k <= N; ++k) {
    last[k] = views[k];
    last[k].shape[axis] = rest > 0;
    last[k].data = static_cast<T*>(last[k].data) + (size - rest) * apart[k];
    views[k].shape[axis] = size / most_rows;
    views[k].strides[axis] *= most_rows;
  }
  for_rows(views, blocks(most_rows), most_rows);
  for_rows(last, blocks(rest), rest);
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

struct clipped {
  template <class V>
  static V apply(V x, V low, V high) {
    return at_most(at_least(x, low), high);  // NaN stays, and what equals a bound
  }
};

void clip(View dst, View a, double low, double high) {
  float singles[2] = {static_cast<float>(low), static_cast<float>(high)};
  View views[4] = {dst, a, dst, dst};
  for (int k = 0; k < 2; ++k) {
    views[k + 2].data = dst.dtype == needle::DType::float64
                            ? static_cast<void*>(k == 0 ? &low : &high)
                            : &singles[k];
    for (int d = 0; d < dst.ndim; ++d) views[k + 2].strides[d] = 0;
  }
  needle::visit_computed(dst.dtype, [&](auto zero) { map<clipped, decltype(zero), 3>(views); });
}

void binary_scalar(needle::BinaryOp op, View dst, View a, double s, bool reversed) {
  if (op == needle::BinaryOp::power && !reversed) {
    if (s == 2) return map_unary<square>(dst, a);
    if (s == 3) return map_unary<cube>(dst, a);
    if (s == -1) return map_unary<inverse>(dst, a);
  }
  float single = static_cast<float>(s);
  View scalar = dst;  // s at every index
  scalar.data = dst.dtype == needle::DType::float64 ? static_cast<void*>(&s) : &single;
  for (int d = 0; d < dst.ndim; ++d) scalar.strides[d] = 0;
  reversed ? binary(op, dst, scalar, a) : binary(op, dst, a, scalar);
}

}  // namespace NEEDLE_NS
