// Atomic operations and fences of device code. Fibers change places at rendezvous only, so a load
// and a store make an atomic operation here; the compiler tells the checker that they are atomic.
#pragma once

#include <type_traits>

namespace needle_sim {

void note_fence();

template <class T, class F>
__attribute__((always_inline)) inline T update(T* address, F&& next) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  T value = next(old);
  __atomic_store(address, &value, __ATOMIC_RELAXED);
  return old;
}

}  // namespace needle_sim

#define NEEDLE_SIM_ATOMIC(name, formula)                                                    \
  template <class T>                                                                        \
  __attribute__((always_inline)) inline T name(T* address, std::type_identity_t<T> value) { \
    return needle_sim::update(address, [&](T old) -> T {                                    \
      static_cast<void>(old);                                                               \
      return static_cast<T>(formula);                                                       \
    });                                                                                     \
  }
NEEDLE_SIM_ATOMIC(atomicAdd, old + value)
NEEDLE_SIM_ATOMIC(atomicSub, old - value)
NEEDLE_SIM_ATOMIC(atomicExch, value)
NEEDLE_SIM_ATOMIC(atomicMin, value < old ? value : old)
NEEDLE_SIM_ATOMIC(atomicMax, old < value ? value : old)
NEEDLE_SIM_ATOMIC(atomicAnd, old& value)
NEEDLE_SIM_ATOMIC(atomicOr, old | value)
NEEDLE_SIM_ATOMIC(atomicXor, old ^ value)
NEEDLE_SIM_ATOMIC(atomicInc, old >= value ? T(0) : old + 1)
NEEDLE_SIM_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef NEEDLE_SIM_ATOMIC

template <class T>
__attribute__((always_inline)) inline T atomicCAS(T* address, std::type_identity_t<T> compare,
                                                  std::type_identity_t<T> value) {
  return needle_sim::update(address, [&](T old) { return old == compare ? value : old; });
}

inline void __threadfence() { needle_sim::note_fence(); }
inline void __threadfence_block() {}
