// Two devices of the reference backend, arrays of small whole numbers in random layouts, and a main
// for tests that run with and without the allocator's checked mode.
#pragma once

#include <algorithm>

#include "reference_backend.h"

namespace needle_test {

inline ReferenceBackend backend;
inline Device device("test", 0, &backend), other("other", 0, &backend);

inline NDArray numbers(const Dims& shape, DType dtype = DType::float64) {
  NDArray a = NDArray::empty(shape, DType::float64, device);
  for (std::int64_t i = 0; i < a.size(); ++i)
    static_cast<double*>(a.data())[i] = static_cast<double>(draw(-4, 4));
  return dtype == DType::float64 ? a : a.astype(dtype);
}

// A random view with this shape: permuted, flipped or broadcast.
inline NDArray laid_out(const Dims& shape) {
  NDArray a = numbers(shape);
  if (draw(0, 1) == 1 && shape.size() >= 2) {
    Dims swapped = shape;
    std::swap(swapped[0], swapped[shape.size() - 1]);
    a = numbers(swapped).transpose(0, -1);
  }
  if (draw(0, 1) == 1 && shape.size() >= 1) a = a.flip({draw(0, shape.size() - 1)});
  return a;
}

inline double at(const NDArray& a, const std::int64_t* index) {
  return backend.load(a.view(), index);
}

inline Dims random_shape(std::int64_t most_dims, std::int64_t least) {
  Dims shape;
  for (std::int64_t n = draw(0, most_dims); n > 0; --n) shape.push_back(draw(least, 4));
  return shape;
}

// Runs the tests in both modes; no guard may be damaged and nothing may stay allocated.
template <class F>
int run_in_both_modes(const char* name, F&& tests) {
  for (const bool checked : {false, true}) {
    for (Device* d : {&device, &other}) d->allocator.set_checked(checked);
    tests();
    for (Device* d : {&device, &other}) {
      CHECK(d->allocator.check_guards().empty());
      CHECK(d->allocator.stats().live_blocks == 0 && d->allocator.stats().live_bytes == 0);
    }
  }
  return summary(name);
}

}  // namespace needle_test
