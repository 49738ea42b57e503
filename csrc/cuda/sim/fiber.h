// Fiber: a stack of its own on which code runs until it hands the processor to another fiber.
//
// On x86-64 a switch saves six registers and swaps stack pointers (a few ns); elsewhere it is
// ucontext. Both tell AddressSanitizer which stack is in use.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(NEEDLE_SIM_UCONTEXT)
#define NEEDLE_SIM_USE_UCONTEXT 1
#include <ucontext.h>
#else
#define NEEDLE_SIM_USE_UCONTEXT 0
#endif

namespace needle_sim {

class Fiber {
 public:
  Fiber() = default;  // the thread that calls: becomes valid when it first switches away
  // entry never returns; index staggers the stacks over the processor's cache sets.
  Fiber(void (*entry)(), std::size_t index);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // Continues `to`; returns when something switches back to `from`, the fiber that is running now.
  static void switch_to(Fiber& from, Fiber& to);
  bool holds(const void* p) const {  // whether it lies on the stack
    return static_cast<std::size_t>(static_cast<const std::byte*>(p) -
                                    static_cast<const std::byte*>(stack_bottom_)) < stack_size_;
  }
  // Forgets what the fiber was doing: the next switch to it starts at its entry.
  void restart();

 private:
  [[noreturn]] static void start();

  void (*entry_)() = nullptr;
  std::byte* mapping_ = nullptr;  // a guard page, then the stack
  std::size_t stagger_ = 0;
  void* stack_pointer_ = nullptr;
#if NEEDLE_SIM_USE_UCONTEXT
  ucontext_t context_{};
#endif
  const void* stack_bottom_ = nullptr;  // the stack itself
  std::size_t stack_size_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace needle_sim
