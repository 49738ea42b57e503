// Powers by whole numbers as formulas of one vector, no less exact than m::pow: products, a
// quotient, and of a cube what its two products lost, added. Source: Ogita, Rump and Oishi,
// "Accurate sum and dot product" (2005), for the latter.
#pragma once

#include "math.h"

namespace NEEDLE_NS {

struct square {
  template <class V>
  static V apply(V x) {
    return x * x;
  }
};
struct cube {
  template <class V>
  static V apply(V x) {
    V lost, lost_of_square;
    const V squared = m::two_product(x, x, lost_of_square);
    const V y = m::two_product(squared, x, lost);
    const V better = y + fma(lost_of_square, x, lost);
    // A zero keeps its sign, and an infinite y has lost nothing.
    return (better - better == V{}) & (y != V{}) ? better : y;
  }
};
struct inverse {
  template <class V>
  static V apply(V x) {
    return m::constant<V>(1) / x;
  }
};

}  // namespace NEEDLE_NS
