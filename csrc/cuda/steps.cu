// Steps of optimizers and of LSTM cells: everything that an element takes part in, in one kernel.
// All arrays are compact; a thread handles 16 bytes of each where all begin at such.
// Shapes: those of a parameter, or (N, 4 H) gates beside (N, H) states. Source: core/steps.h.
#include "kernels.h"
#include "maths.cuh"
#include "storage.cuh"

namespace NEEDLE_NS {

constexpr unsigned kStepThreads = 256;

}  // namespace NEEDLE_NS

// The formulas over the functions of maths.cuh.
#include "../core/steps.h"

namespace NEEDLE_NS {
namespace {

using needle::View;

template <class T, int P>
__device__ void store(T* p, const Pack<T, P>& v) {
  *reinterpret_cast<Pack<T, P>*>(p) = v;
}

template <class T>
T* data(const View& v) {
  return static_cast<T*>(v.data);
}

template <class T, int P>
struct Sgd {
  T *out, *velocity;
  const T *p, *grad;
  needle::SgdStep step;

  __device__ void operator()(std::int64_t i) const {
    using V = Compute<T>;
    const auto from = load_pack<P>(p + i), g = load_pack<P>(grad + i);
    Pack<T, P> u{}, to;
    if (velocity != nullptr && !step.first) u = load_pack<P>(velocity + i);
    for (int k = 0; k < P; ++k) {
      V moving = widen(u.at[k]);
      to.at[k] = narrow<T>(m::sgd<V>(step, widen(from.at[k]), widen(g.at[k]), moving));
      u.at[k] = narrow<T>(moving);
    }
    if (velocity != nullptr) store(velocity + i, u);
    store(out + i, to);
  }
};

template <class T, int P>
struct Adam {
  T *out, *first, *second;
  const T *p, *grad;
  needle::AdamStep step;

  __device__ void operator()(std::int64_t i) const {
    using V = Compute<T>;
    const auto from = load_pack<P>(p + i), g = load_pack<P>(grad + i);
    Pack<T, P> a{}, b{}, to;
    if (!step.first) {
      a = load_pack<P>(first + i);
      b = load_pack<P>(second + i);
    }
    for (int k = 0; k < P; ++k) {
      V of_grad = widen(a.at[k]), of_square = widen(b.at[k]);
      to.at[k] = narrow<T>(m::adam<V>(step, widen(from.at[k]), widen(g.at[k]), of_grad, of_square));
      a.at[k] = narrow<T>(of_grad);
      b.at[k] = narrow<T>(of_square);
    }
    store(first + i, a);
    store(second + i, b);
    store(out + i, to);
  }
};

// Unit i of all rows; its gates are n apart.
template <class T, int P>
struct Lstm {
  T *h, *next;
  const T *gates, *c;
  std::int64_t n;

  __device__ void operator()(std::int64_t i) const {
    using V = Compute<T>;
    const T* g = gates + i / n * 4 * n + i % n;
    const auto in = load_pack<P>(g), keep = load_pack<P>(g + n), fresh = load_pack<P>(g + 2 * n),
               out = load_pack<P>(g + 3 * n), before = load_pack<P>(c + i);
    Pack<T, P> to_h, to_c;
    for (int k = 0; k < P; ++k) {
      const auto made = m::lstm<V>(widen(in.at[k]), widen(keep.at[k]), widen(fresh.at[k]),
                                   widen(out.at[k]), widen(before.at[k]));
      to_h.at[k] = narrow<T>(made.h);
      to_c.at[k] = narrow<T>(made.c);
    }
    store(h + i, to_h);
    store(next + i, to_c);
  }
};

template <class T, int P>
struct LstmBack {
  T *dgates, *dc;
  const T *gates, *c, *dh, *dnext;
  std::int64_t n;

  __device__ void operator()(std::int64_t i) const {
    using V = Compute<T>;
    const std::int64_t gate = i / n * 4 * n + i % n;
    const T* g = gates + gate;
    const auto in = load_pack<P>(g), keep = load_pack<P>(g + n), fresh = load_pack<P>(g + 2 * n),
               out = load_pack<P>(g + 3 * n), before = load_pack<P>(c + i),
               of_h = load_pack<P>(dh + i), of_next = load_pack<P>(dnext + i);
    Pack<T, P> to[5];
    for (int k = 0; k < P; ++k) {
      const auto made =
          m::lstm_grad<V>(widen(in.at[k]), widen(keep.at[k]), widen(fresh.at[k]), widen(out.at[k]),
                          widen(before.at[k]), widen(of_h.at[k]), widen(of_next.at[k]));
      to[0].at[k] = narrow<T>(made.i);
      to[1].at[k] = narrow<T>(made.f);
      to[2].at[k] = narrow<T>(made.g);
      to[3].at[k] = narrow<T>(made.o);
      to[4].at[k] = narrow<T>(made.c);
    }
    for (int k = 0; k < 4; ++k) store(dgates + gate + k * n, to[k]);
    store(dc + i, to[4]);
  }
};

template <class Step>
__global__ void __launch_bounds__(kStepThreads, 1)
    step_elements(std::int64_t n, int each, const __grid_constant__ Step step) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * kStepThreads + threadIdx.x) * each;
  if (i < n) step(i);
}

// One<T, P> over n elements, P of them a thread: as many as 16 bytes hold where they divide `whole`
// and the arrays begin at 16 bytes.
template <class T, template <class, int> class One, class... Parts>
void launch_step(const Stream& stream, std::int64_t n, std::int64_t whole,
                 std::initializer_list<View> views, const Parts&... parts) {
  constexpr int pack = 16 / sizeof(T);
  bool packed = whole % pack == 0;
  for (const View& v : views) {
    packed = packed && reinterpret_cast<std::uintptr_t>(v.data) % 16 == 0;
  }
  if (packed) {
    launch(step_elements<One<T, pack>>, blocks_for(n, std::int64_t{kStepThreads} * pack),
           kStepThreads, 0, stream, n, pack, One<T, pack>{parts...});
  } else {
    launch(step_elements<One<T, 1>>, blocks_for(n, kStepThreads), kStepThreads, 0, stream, n, 1,
           One<T, 1>{parts...});
  }
}

}  // namespace

void sgd_step(const Stream& stream, const needle::SgdPart& part, const needle::SgdStep& step) {
  needle::visit_floating(part.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t n = needle::numel(part.out);
    launch_step<T, Sgd>(stream, n, n, {part.out, part.velocity, part.p, part.grad},
                        data<T>(part.out), data<T>(part.velocity), data<T>(part.p),
                        data<T>(part.grad), step);
  });
}

void adam_step(const Stream& stream, const needle::AdamPart& part, const needle::AdamStep& step) {
  needle::visit_floating(part.out.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t n = needle::numel(part.out);
    launch_step<T, Adam>(stream, n, n, {part.out, part.first, part.second, part.p, part.grad},
                         data<T>(part.out), data<T>(part.first), data<T>(part.second),
                         data<T>(part.p), data<T>(part.grad), step);
  });
}

void lstm_cell(const Stream& stream, View h, View next, View gates, View c) {
  needle::visit_floating(h.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t n = h.shape[1];
    launch_step<T, Lstm>(stream, needle::numel(h), n, {h, next, gates, c}, data<T>(h),
                         data<T>(next), data<T>(gates), data<T>(c), n);
  });
}

void lstm_cell_grad(const Stream& stream, View dgates, View dc, View gates, View c, View dh,
                    View dnext) {
  needle::visit_floating(dc.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t n = dc.shape[1];
    launch_step<T, LstmBack>(stream, needle::numel(dc), n, {dgates, dc, gates, c, dh, dnext},
                             data<T>(dgates), data<T>(dc), data<T>(gates), data<T>(c), data<T>(dh),
                             data<T>(dnext), n);
  });
}

}  // namespace NEEDLE_NS
