// pool2d and its gradient of every instruction set against loops over the definition: windows that
// overlap, leave elements out or reach into the padding, ties, NaN, and the number of threads.
#include <omp.h>

#include "kernel_testing.h"
#include "reference_backend.h"

using namespace needle_test;
using needle::CpuKernels;
using needle::Pool2dParams;
using needle::PoolOp;

namespace {

ReferenceBackend reference;

template <class T>
bool close(const Array& a, const Array& b) {
  const T eps = std::numeric_limits<T>::epsilon();
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(a.positions.size()); ++i) {
    const T x = a.get<T>(i), y = b.get<T>(i);
    const bool same = x == y || (x != x && y != y);
    if (!same && !(std::abs(x - y) <= 64 * eps * (1 + std::abs(y)))) return false;
  }
  return true;
}

template <class T>
void windows(const CpuKernels& kernels, bool large) {
  Pool2dParams p{};
  std::int64_t in[2], out[2];
  for (int d = 0; d < 2; ++d) {
    p.kernel[d] = draw(1, 4);
    p.stride[d] = draw(1, 4);
    p.padding[d] = draw(0, p.kernel[d] / 2);
    in[d] = std::max<std::int64_t>(draw(1, large ? 40 : 9), p.kernel[d] - 2 * p.padding[d]);
    out[d] = (in[d] + 2 * p.padding[d] - p.kernel[d]) / p.stride[d] + 1;
  }
  p.inside = one_in(2);
  const std::int64_t images = draw(1, large ? 9 : 3), channels = draw(1, 40);
  const Shape xs{images, in[0], in[1], channels}, ys{images, out[0], out[1], channels};
  Array x(dtype_of<T>, xs), dy(dtype_of<T>, ys), y(dtype_of<T>, ys), dx(dtype_of<T>, xs),
      want_y(dtype_of<T>, ys), want_dx(dtype_of<T>, xs);
  for (std::int64_t i = 0; i < x.size(); ++i) x.set(i, static_cast<T>(draw(-3, 3)));  // ties
  for (std::int64_t i = 0; i < dy.size(); ++i) dy.set(i, static_cast<T>(draw(-99, 99)) / T(8));
  if (one_in(2)) x.set(draw(0, x.size() - 1), static_cast<T>(NAN));
  if (one_in(2)) {
    for (std::int64_t i = 0; i < x.size(); i += draw(1, 2)) x.set(i, static_cast<T>(-HUGE_VAL));
  }
  const int before = omp_get_max_threads();
  for (const PoolOp op : {PoolOp::max, PoolOp::mean}) {
    const View of_x = op == PoolOp::max ? x.view : View{};
    reference.pool2d(op, want_y.view, x.view, p);
    reference.pool2d_grad(op, want_dx.view, dy.view, of_x, p);
    std::vector<unsigned char> bits[2];
    for (const int count : {1, 3}) {
      omp_set_num_threads(count);
      kernels.pool2d(op, y.view, x.view, p);
      kernels.pool2d_grad(op, dx.view, dy.view, of_x, p);
      CHECK(close<T>(y, want_y) && close<T>(dx, want_dx));
      if (count == 1) {
        bits[0] = y.bytes;
        bits[1] = dx.bytes;
      }
      CHECK(y.bytes == bits[0] && dx.bytes == bits[1]);
    }
  }
  omp_set_num_threads(before);
}

}  // namespace

int main() {
  for (const CpuKernels* kernels : instruction_sets()) {
    for (int i = 0; i < 200 && needle_test::failures == 0; ++i) {
      windows<float>(*kernels, i % 20 == 0);
      windows<double>(*kernels, i % 20 == 0);
    }
  }
  return needle_test::summary("pooling");
}
