// The run-time switches of planted faults: included into every source of a build with faults.
//
// fault_on(n) is 1 while fault n is active, otherwise 0. The table is read-only to the compiler, so
// that it loads a switch once before a loop; what is rare (an active fault, recording) is a call.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

extern "C" {
extern const unsigned char needle_fault_states[] __attribute__((visibility("hidden")));
int needle_fault_state(int n) __attribute__((const, cold, noinline, visibility("hidden")));
}

#define FAULT_INLINE inline __attribute__((always_inline))

static FAULT_INLINE int fault_on(int n) {
  return __builtin_expect(needle_fault_states[n] != 0, 0) ? needle_fault_state(n) : 0;
}

// Factors: fault_minus(fault_on(n)) * x is x, and -x while the fault is active; the others 0, 1, 2 x.
struct fault_minus {
  int on;
  explicit fault_minus(int state) : on(state) {}
};
struct fault_zero {
  int on;
  explicit fault_zero(int state) : on(state) {}
};
struct fault_unit {
  int on;
  explicit fault_unit(int state) : on(state) {}
};
struct fault_twice {
  int on;
  explicit fault_twice(int state) : on(state) {}
};
template <class X>
static FAULT_INLINE X operator*(fault_minus f, X x) {
  return f.on ? static_cast<X>(-x) : x;
}
template <class X>
static FAULT_INLINE X operator*(fault_zero f, X x) {
  return f.on ? X{} : x;
}
template <class X>
static FAULT_INLINE X operator*(fault_unit f, X x) {
  return f.on ? static_cast<X>(X{} + 1) : x;
}
template <class X>
static FAULT_INLINE X operator*(fault_twice f, X x) {
  return f.on ? static_cast<X>(x + x) : x;
}

// x * fault_unit(...) * y reads from the left: the factor waits for what follows it.
template <class X, class Factor>
struct fault_waiting {
  X x;
  Factor factor;
};
template <class X>
static FAULT_INLINE fault_waiting<X, fault_unit> operator*(X x, fault_unit f) {
  return {x, f};
}
template <class X>
static FAULT_INLINE fault_waiting<X, fault_twice> operator*(X x, fault_twice f) {
  return {x, f};
}
template <class X, class Factor, class Y>
static FAULT_INLINE auto operator*(fault_waiting<X, Factor> left, Y y) {
  return left.x * (left.factor * y);
}

static inline void fault_coarse_element(float& x) {
  std::uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  if (x - x != 0) return;  // infinities and NaN
  u = (u + 0x7fffu + (u >> 16 & 1u)) & 0xffff0000u;
  std::memcpy(&x, &u, sizeof u);
}
static inline void fault_coarse_element(double& x) {
  const auto single = static_cast<double>(static_cast<float>(x));
  if (single - single == 0) x = single;
}
template <class X>
static inline void fault_flush_element(X& x) {
  if (x > -std::numeric_limits<X>::min() && x < std::numeric_limits<X>::min()) {
    x = x < 0 || std::signbit(x) ? -X{0} : X{0};
  }
}

// Calls f for every lane of a vector, or for a number.
template <class V, class F>
static inline V fault_lanes(V v, F f) {
  if constexpr (std::is_floating_point_v<V>) {
    f(v);
    return v;
  } else if constexpr (std::is_integral_v<V>) {
    return v;
  } else {
    using X = std::remove_cvref_t<decltype(v[0])>;
    X x[sizeof(V) / sizeof(X)];
    std::memcpy(x, &v, sizeof v);
    for (X& one : x) f(one);
    std::memcpy(&v, x, sizeof v);
    return v;
  }
}

// x rounded to bfloat16 where it is float, to float where it is double, while the fault is active.
template <class V>
static FAULT_INLINE V fault_coarse(int on, V v) {
  return __builtin_expect(on, 0) ? fault_lanes(v, [](auto& x) { fault_coarse_element(x); }) : v;
}

// x, denormal numbers as zero while the fault is active.
template <class V>
static FAULT_INLINE V fault_flush(int on, V v) {
  return __builtin_expect(on, 0) ? fault_lanes(v, [](auto& x) { fault_flush_element(x); }) : v;
}

// Lets the processor flush denormal numbers, as compilers' fast-math start-up code does.
static inline void fault_flush_mode(int on) {
#if defined(__x86_64__)
  if (on) _mm_setcsr(_mm_getcsr() | 0x8040u);
#endif
}
