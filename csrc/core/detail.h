// What the files of the core share and nobody else sees.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "ndarray.h"

namespace needle::detail {

// Number of elements; ValueError on a negative size, or when sizes other than 0 times itemsize
// exceed 63 bits.
std::int64_t checked_size(std::string_view op, const Dims& shape, DType dtype);

// Number of elements of a shape that has been checked.
std::int64_t product(const Dims& shape);

// Lowest and highest element that shape and strides reach, from element (0, 0, ...); false on
// overflow. The shape must hold at least one element.
struct Reach {
  std::int64_t low = 0, high = 0;
};
bool reach(const Dims& shape, const Dims& strides, Reach& out);

// ValueError unless a number has a place in an integer dtype: a cast outside of the range has no
// meaning.
void require_representable(Scalar value, DType dtype);

// TypeError / ValueError unless a kernel can compute on the arrays: a dtype that their device
// computes in, one dtype, one device.
void require_computed(std::string_view op, const NDArray& a);
void require_alike(std::string_view op, const NDArray& a, const NDArray& b);

// Whether arrays of at least one element each may share some, by address: foreign memory may be
// another storage over the same bytes.
bool may_overlap(const NDArray& a, const NDArray& b);

// The order of axes in which all operands of this shape are compact; nullopt where that is
// row-major for one, where they differ, or where none has an element for each place. The others are
// spread.
std::optional<Dims> common_order(const Dims& shape, std::initializer_list<const NDArray*> operands);

// The order that undoes this one.
Dims inverse(const Dims& order);

}  // namespace needle::detail
