// Fiber: see fiber.h.
#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !NEEDLE_SIM_USE_UCONTEXT
// needle_sim_switch(void** save, void* target): pushes what a function must preserve, stores the
// stack pointer, and continues at the target's.
extern "C" __attribute__((visibility("hidden"))) void needle_sim_switch(void** save, void* target);
asm(R"(
.text
.p2align 4
.globl needle_sim_switch
.hidden needle_sim_switch
.type needle_sim_switch, @function
needle_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size needle_sim_switch, .-needle_sim_switch
)");
#endif

namespace needle_sim {
namespace {

constexpr std::size_t kPage = 4096;
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStack = 64 * kPage;  // its frames are large
#else
constexpr std::size_t kStack = 16 * kPage;
#endif

// The switch under way, for the code that runs first on the other side.
Fiber* leaving = nullptr;
Fiber* entering = nullptr;

}  // namespace

Fiber::Fiber(void (*entry)(), std::size_t index) : entry_(entry), stagger_(index % 16 * 192) {
  void* mapping = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<std::byte*>(mapping);
  mprotect(mapping_, kPage, PROT_NONE);  // a stack that overflows faults at once
  stack_bottom_ = mapping_ + kPage;
  stack_size_ = kStack;
  restart();
}

Fiber::~Fiber() {
  if (mapping_ != nullptr) munmap(mapping_, kPage + kStack);
}

void Fiber::restart() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(mapping_ + kPage, kStack);
  fake_stack_ = nullptr;
#endif
#if NEEDLE_SIM_USE_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = mapping_ + kPage;
  context_.uc_stack.ss_size = kStack - stagger_;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::start, 0);
#else
  // What needle_sim_switch pops: six registers and the address to return to; start() then finds the
  // stack pointer as after a call, 8 bytes off a multiple of 16.
  auto* top = reinterpret_cast<std::uintptr_t*>(mapping_ + kPage + kStack - stagger_ - 64);
  top[-1] = 0;
  top[-2] = reinterpret_cast<std::uintptr_t>(&Fiber::start);
  for (int i = 3; i <= 8; ++i) top[-i] = 0;
  stack_pointer_ = top - 8;
#endif
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
  leaving = &from;
  entering = &to;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_bottom_, to.stack_size_);
#endif
#if NEEDLE_SIM_USE_UCONTEXT
  swapcontext(&from.context_, &to.context_);
#else
  needle_sim_switch(&from.stack_pointer_, to.stack_pointer_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack_, &leaving->stack_bottom_, &leaving->stack_size_);
#endif
}

void Fiber::start() {
  Fiber& self = *entering;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &leaving->stack_bottom_, &leaving->stack_size_);
#endif
  self.entry_();
  __builtin_unreachable();
}

}  // namespace needle_sim
