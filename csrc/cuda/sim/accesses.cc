// What the compiler calls under -fsanitize=thread. The names are those of the thread sanitizer's
// runtime, which is not linked; an atomic operation is carried out here.
#include "accesses.h"

#include <cstdint>

#include "checker.h"

namespace needle_sim {
namespace {

bool called = false;

// A load and a store in one.
template <class T>
volatile T* updated(volatile T* address, const void* code) {
  const void* const plain = const_cast<T*>(address);
  check_access(plain, sizeof(T), Access::atomic_read, code);
  check_access(plain, sizeof(T), Access::atomic_write, code);
  return address;
}

}  // namespace

bool instrumented() { return called; }

}  // namespace needle_sim

using needle_sim::Access;
using needle_sim::check_access;
using needle_sim::updated;

#ifndef __SANITIZE_THREAD__  // the sanitizer itself is at work: these are its own

#define HERE __builtin_return_address(0)

extern "C" {

// Each instrumented file calls it when the program starts.
void __tsan_init() { needle_sim::called = true; }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

void __tsan_read_range(void* p, std::size_t n) { check_access(p, n, Access::read, HERE, false); }
void __tsan_write_range(void* p, std::size_t n) { check_access(p, n, Access::write, HERE, false); }

#define NEEDLE_ACCESSES(n)                                                                  \
  void __tsan_read##n(void* p) { check_access(p, n, Access::read, HERE); }                  \
  void __tsan_write##n(void* p) { check_access(p, n, Access::write, HERE); }                \
  void __tsan_unaligned_read##n(void* p) { check_access(p, n, Access::read, HERE, false); } \
  void __tsan_unaligned_write##n(void* p) { check_access(p, n, Access::write, HERE, false); }
NEEDLE_ACCESSES(1)
NEEDLE_ACCESSES(2)
NEEDLE_ACCESSES(4)
NEEDLE_ACCESSES(8)
NEEDLE_ACCESSES(16)

// -fsanitize=alignment,bounds: what they call where a check of theirs has failed; each is told the
// place in the source.
struct Source {
  const char* file;
  std::uint32_t line, column;
};
void __ubsan_handle_type_mismatch_v1(const Source* at, const void*) {
  needle_sim::fail_at({"misaligned", "uses a misaligned pointer", at->file, at->line});
}
void __ubsan_handle_out_of_bounds(const Source* at, std::uintptr_t) {
  needle_sim::fail_at({"out of bounds", "uses an index past an array's end", at->file, at->line});
}

void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

#define NEEDLE_UPDATE(T, bits, tsan, builtin)                   \
  T __tsan_atomic##bits##_##tsan(volatile T* p, T value, int) { \
    return builtin(updated(p, HERE), value, __ATOMIC_SEQ_CST);  \
  }
#define NEEDLE_EXCHANGE(T, bits, tsan, weak)                                          \
  int __tsan_atomic##bits##_##tsan(volatile T* p, T* expected, T desired, int, int) { \
    return __atomic_compare_exchange_n(updated(p, HERE), expected, desired, weak,     \
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
  }
#define NEEDLE_ATOMICS(T, bits)                                                  \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                       \
    check_access(const_cast<const T*>(p), sizeof(T), Access::atomic_read, HERE); \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                 \
  }                                                                              \
  void __tsan_atomic##bits##_store(volatile T* p, T value, int) {                \
    check_access(const_cast<T*>(p), sizeof(T), Access::atomic_write, HERE);      \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                \
  }                                                                              \
  NEEDLE_UPDATE(T, bits, exchange, __atomic_exchange_n)                          \
  NEEDLE_UPDATE(T, bits, fetch_add, __atomic_fetch_add)                          \
  NEEDLE_UPDATE(T, bits, fetch_sub, __atomic_fetch_sub)                          \
  NEEDLE_UPDATE(T, bits, fetch_and, __atomic_fetch_and)                          \
  NEEDLE_UPDATE(T, bits, fetch_or, __atomic_fetch_or)                            \
  NEEDLE_UPDATE(T, bits, fetch_xor, __atomic_fetch_xor)                          \
  NEEDLE_EXCHANGE(T, bits, compare_exchange_strong, false)                       \
  NEEDLE_EXCHANGE(T, bits, compare_exchange_weak, true)
NEEDLE_ATOMICS(std::uint8_t, 8)
NEEDLE_ATOMICS(std::uint16_t, 16)
NEEDLE_ATOMICS(std::uint32_t, 32)
NEEDLE_ATOMICS(std::uint64_t, 64)

}  // extern "C"

#endif
