// One axis of a convolution as both directions see it. Coordinate j of the result takes tap m from
//
//   source(j, m) = source + j * source_step + m * source_tap      if that lies in [0, extent)
//
// so its valid taps are an interval, and neighbouring coordinates with the same interval form a
// run. Result coordinate j is `first + j * step` in memory, tap m is `tap + m * tap_step` of the
// kernel.
//
// Forward there is one such axis. For the gradient of the input, i + padding = o * stride + k *
// dilation ties coordinate i to taps k of one residue modulo stride, so there is an axis for every
// residue.
#pragma once

#include <cstdint>

namespace NEEDLE_NS {

using std::int64_t;

struct Axis {
  int64_t first, step, count;
  int64_t tap, tap_step, taps;
  int64_t source, source_step, source_tap, extent;  // source_tap is not 0
};

// Coordinates [from, to), all with the valid taps [low, high); none if high <= low.
struct Run {
  int64_t from, to, low, high;
};

static inline int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
static inline int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

static inline void valid_taps(const Axis& axis, int64_t j, int64_t* low, int64_t* high) {
  const int64_t at = axis.source + j * axis.source_step, tap = axis.source_tap;
  // 0 <= at + m * tap < extent
  *low = tap > 0 ? ceil_div(-at, tap) : ceil_div(at - axis.extent + 1, -tap);
  *high = tap > 0 ? ceil_div(axis.extent - at, tap) : floor_div(at, -tap) + 1;
  if (*low < 0) *low = 0;
  if (*high > axis.taps) *high = axis.taps;
  if (*high <= *low) *low = *high = 0;
}

static inline Run run_from(const Axis& axis, int64_t j) {
  Run run{j, j + 1, 0, 0};
  valid_taps(axis, j, &run.low, &run.high);
  for (; run.to < axis.count; ++run.to) {
    int64_t low, high;
    valid_taps(axis, run.to, &low, &high);
    if (low != run.low || high != run.high) break;
  }
  return run;
}

static inline Axis forward_axis(int64_t input, int64_t output, int64_t kernel, int64_t stride,
                                int64_t padding, int64_t dilation) {
  return {0, 1, output, 0, 1, kernel, -padding, stride, dilation, input};
}

// Residues that occur: coordinates 0 ... residues - 1 are the first ones of their axes.
static inline int64_t backward_axes(int64_t input, int64_t stride) {
  return input < stride ? input : stride;
}

static inline Axis backward_axis(int64_t first, int64_t input, int64_t output, int64_t kernel,
                                 int64_t stride, int64_t padding, int64_t dilation) {
  int64_t divisor = stride, rest = dilation;  // gcd of stride and dilation
  while (rest != 0) {
    const int64_t next = divisor % rest;
    divisor = rest;
    rest = next;
  }
  Axis axis = {first,
               stride,
               (input - first + stride - 1) / stride,
               0,
               stride / divisor,
               0,
               0,
               1,
               -dilation / divisor,
               output};
  // The smallest tap with tap * dilation = first + padding modulo stride; its multiples repeat
  // after tap_step.
  const int64_t target = (first + padding) % stride;
  while (axis.tap < axis.tap_step && axis.tap < kernel &&
         axis.tap * (dilation % stride) % stride != target)
    ++axis.tap;
  if (axis.tap == axis.tap_step || axis.tap >= kernel) return axis;  // no taps
  axis.taps = (kernel - axis.tap + axis.tap_step - 1) / axis.tap_step;
  axis.source = (first + padding - axis.tap * dilation) / stride;  // divides; may be negative
  return axis;
}

}  // namespace NEEDLE_NS
