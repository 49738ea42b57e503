// Which way to walk operands of an elementwise op: in the order of their memory, where they agree
// on one, so that a result lies as its operands do (numpy's "K"). An image batch that convolution
// gives as a view (channels last in memory, first in its shape) then stays so from op to op, and
// nothing is transposed on the way.
#include <array>

#include "detail.h"

namespace needle {

namespace {

// Axes of a by falling stride, those of size 1 where they are; false unless a is compact in that
// order.
bool dense_order(const NDArray& a, Dims& order) {
  std::array<int, kMaxDims> axes{};
  std::size_t n = 0;
  for (int d = 0; d < a.ndim(); ++d) {
    if (a.shape()[d] == 1) continue;
    std::size_t at = n++;
    for (; at > 0 && a.strides()[axes[at - 1]] < a.strides()[d]; --at) axes[at] = axes[at - 1];
    axes[at] = d;
  }
  std::int64_t stride = 1;
  for (std::size_t i = n; i-- > 0; stride *= a.shape()[axes[i]]) {
    if (a.strides()[axes[i]] != stride) return false;
  }
  order = Dims();
  for (int d = 0, next = 0; d < a.ndim(); ++d) {
    order.push_back(a.shape()[d] == 1 ? d : axes[static_cast<std::size_t>(next++)]);
  }
  return true;
}

// Whether several places share an element.
bool is_spread(const NDArray& a) {
  for (int d = 0; d < a.ndim(); ++d) {
    if (a.strides()[d] == 0 && a.shape()[d] > 1) return true;
  }
  return false;
}

}  // namespace

std::optional<Dims> detail::common_order(const Dims& shape,
                                         std::initializer_list<const NDArray*> operands) {
  std::optional<Dims> common;
  for (const NDArray* a : operands) {
    if (!(a->shape() == shape)) continue;
    if (a->is_compact()) return {};
    if (is_spread(*a)) continue;
    Dims order;
    if (!dense_order(*a, order) || (common && !(*common == order))) return {};
    common = order;
  }
  return common;
}

Dims detail::inverse(const Dims& order) {
  Dims back = order;
  for (int d = 0; d < order.size(); ++d) back[static_cast<int>(order[d])] = d;
  return back;
}

}  // namespace needle
