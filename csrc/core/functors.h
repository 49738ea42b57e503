// The op table as functors. The including kernel file defines NEEDLE_NS (a namespace of its own)
// and, in it, a namespace m with constant<V>(double) and the functions that the table names for
// every V that it instantiates.
#pragma once

#include "dtype.h"

namespace NEEDLE_NS {

#define K(c) m::constant<V>(c)

#define NEEDLE_UNARY(op, formula)          \
  struct unary_##op {                      \
    template <class V>                     \
    static inline NEEDLE_HD V apply(V x) { \
      return formula;                      \
    }                                      \
  };
#define NEEDLE_BINARY(op, formula)              \
  struct binary_##op {                          \
    template <class V>                          \
    static inline NEEDLE_HD V apply(V a, V b) { \
      return formula;                           \
    }                                           \
  };
#define NEEDLE_REDUCE(op, identity_value, formula)                          \
  struct reduce_##op {                                                      \
    static constexpr NEEDLE_HD double identity() { return identity_value; } \
    template <class V>                                                      \
    static inline NEEDLE_HD V combine(V a, V b) {                           \
      return formula;                                                       \
    }                                                                       \
  };
#include "ops.def"

#undef K

}  // namespace NEEDLE_NS
