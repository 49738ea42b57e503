// The simulator's core: runs a grid block by block on one processor, the threads of a block as
// fibers.
//
// A fiber runs thread after thread for as long as none of them waits, so kernels without barriers
// never switch stacks. A thread that waits at a rendezvous (a barrier, a shuffle, a vote) keeps its
// fiber, and the next thread of the queue runs. When the last participant arrives, all of them
// enter the queue in an order drawn from the seed. When the queue is empty and threads still wait,
// the rendezvous can never complete: it is reported, not hung on.
#include "scheduler.h"

#include <cuda_runtime.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <string>
#include <vector>

#include "checker.h"
#include "launch.h"
#include "runtime.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace needle_sim {

Launch g;

namespace {

Fiber main_fiber;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;  // waiting in run_threads() for a fresh thread
std::mutex one_launch_at_a_time;

struct Seed {
  std::uint64_t value = 1;
  std::string error;  // why launches are refused

  Seed() {
    const char* const text = std::getenv("NEEDLE_SIM_SEED");
    if (text == nullptr || *text == '\0') return;
    const char* const end = text + std::strlen(text);
    const auto [stop, failure] = std::from_chars(text, end, value);
    if (failure == std::errc() && stop == end) return;
    error =
        std::string("NEEDLE_SIM_SEED is a whole number below 2^64, got NEEDLE_SIM_SEED=") + text;
  }
} first_seed;
std::uint64_t seed_value = first_seed.value;

}  // namespace

std::uint64_t draw() {
  g.random ^= g.random << 13;
  g.random ^= g.random >> 7;
  g.random ^= g.random << 17;
  return g.random * 0x2545f4914f6cdd1dull >> 8;
}

void enqueue(unsigned id) {
  g.queue[(g.head + g.queued++) % kMaxThreads] = static_cast<std::uint16_t>(id);
}

namespace {

// A step that visits all of 0 .. n - 1 when added modulo n.
std::uint64_t draw_step(std::uint64_t n) {
  for (;;) {
    const std::uint64_t step = 1 + draw() % n;
    if (std::gcd(step, n) == 1) return step % n;
  }
}

void enqueue_all() {
  unsigned id = static_cast<unsigned>(draw() % g.threads);
  const unsigned step = static_cast<unsigned>(draw_step(g.threads));
  for (unsigned i = 0; i < g.threads; ++i) {
    enqueue(id);
    id += step;
    if (id >= g.threads) id -= g.threads;
  }
}

}  // namespace

// --- blocks and threads

uint3 block_index(std::uint64_t block) {
  const std::uint64_t xy = std::uint64_t{gridDim.x} * gridDim.y;
  return {static_cast<unsigned>(block % gridDim.x), static_cast<unsigned>(block % xy / gridDim.x),
          static_cast<unsigned>(block / xy)};
}

namespace {

void begin_block() {
  blockIdx = block_index(g.block);
  ++g.started_blocks;
  g.block += g.block_step;
  if (g.block >= g.blocks) g.block -= g.blocks;
  g.waiting = g.exited = 0;
  std::memset(g.in_exchange, 0, sizeof g.in_exchange);
  for (unsigned i = 0; i < g.threads; ++i) g.thread[i].state = State::fresh;
  begin_shared_memory();
  note_block();
  enqueue_all();
}

// The thread to run next; starts the next block when this one is done. False at the end of the
// grid.
bool advance() {
  while (g.queued == 0) {
    if (g.exited == g.threads) {
      const std::string damage = check_shared_memory();
      if (!damage.empty()) fail(damage);
      if (g.started_blocks == g.blocks) return false;
      begin_block();
    } else if (!complete_exchanges_past_exits()) {
      fail_divergent();
    }
  }
  g.current = g.queue[g.head];
  g.head = (g.head + 1) % kMaxThreads;
  --g.queued;
  threadIdx = g.thread[g.current].index;
  return true;
}

// What a fiber does: the current thread, then others for as long as they are fresh.
void run_threads() {
  for (;;) {
    Fiber& self = *g.thread[g.current].fiber;
    in_kernel = true;
    g.run(g.call);
    in_kernel = false;
    Thread& done = g.thread[g.current];
    done.state = State::exited;
    ++g.exited;
    Fiber* next = &main_fiber;
    if (advance()) {
      Thread& t = g.thread[g.current];
      if (t.state == State::fresh) {
        t.state = State::ready;
        t.fiber = &self;
        continue;
      }
      next = t.fiber;
    }
    idle.push_back(&self);
    Fiber::switch_to(self, *next);
  }
}

// Gives the current thread, which is fresh, a fiber.
Fiber& fiber_for_fresh() {
  if (idle.empty()) {
    fibers.push_back(std::make_unique<Fiber>(run_threads, fibers.size()));
    idle.push_back(fibers.back().get());
  }
  Thread& t = g.thread[g.current];
  t.state = State::ready;
  t.fiber = idle.back();
  idle.pop_back();
  return *t.fiber;
}

bool valid(const cudaLaunchConfig_t& c) {
  const std::uint64_t threads = std::uint64_t{c.blockDim.x} * c.blockDim.y * c.blockDim.z;
  return threads >= 1 && threads <= kMaxThreads && c.blockDim.z <= 64 && c.gridDim.x >= 1 &&
         c.gridDim.y >= 1 && c.gridDim.z >= 1 && c.gridDim.x <= 0x7fffffffu &&
         c.gridDim.y <= 65535 && c.gridDim.z <= 65535 && c.dynamicSmemBytes <= kSharedMemory;
}

}  // namespace

void wait() {
  const unsigned self = g.current;
  advance();  // never the grid's end: this thread has not exited
  if (g.current == self) return;
  Fiber* next = g.thread[g.current].fiber;
  if (g.thread[g.current].state == State::fresh) {
    try {
      next = &fiber_for_fresh();
    } catch (const std::bad_alloc&) {
      g.current = self;
      fail("no memory for the stacks of the threads");
    }
  }
  Fiber::switch_to(*g.thread[self].fiber, *next);
}

std::string told(const std::string& what) {
  return what + " in " + function_name(g.kernel) + ", block " + text(blockIdx);
}

void fail(const std::string& what) {
  g.report = told(what);
  Fiber::switch_to(*g.thread[g.current].fiber, main_fiber);
  __builtin_unreachable();
}

void set_seed(std::uint64_t seed) {
  const std::lock_guard lock(one_launch_at_a_time);
  seed_value = seed;
  first_seed.error.clear();
}

std::string seed_error() { return first_seed.error; }

std::uint64_t seed() { return seed_value; }

void barrier(const char* file, int line) {
  const Outside simulator;
  Thread& self = g.thread[g.current];
  self.state = State::at_barrier;
  self.file = file;
  self.line = line;
  if (++g.waiting == g.threads) {
    for (unsigned i = 0; i < g.threads; ++i) {
      const Thread& t = g.thread[i];
      if (t.line != line || std::strcmp(t.file, file) != 0) fail_divergent();
    }
    g.waiting = 0;
    note_barrier();
    for (unsigned i = 0; i < g.threads; ++i) g.thread[i].state = State::ready;
    enqueue_all();
  }
  wait();
}

cudaError_t run_grid(const cudaLaunchConfig_t& config, void (*run)(const void*), const void* call,
                     std::size_t bytes, const void* kernel) {
  if (!valid(config)) return record(cudaErrorInvalidConfiguration);
  const std::lock_guard lock(one_launch_at_a_time);
  if (!first_seed.error.empty()) return record(cudaErrorLaunchFailure, first_seed.error);
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  g.run = run;
  g.call = call;
  g.kernel = kernel;
  g.blocks = std::uint64_t{gridDim.x} * gridDim.y * gridDim.z;
  g.threads = blockDim.x * blockDim.y * blockDim.z;
  g.random = (seed_value + 1) * 0x9e3779b97f4a7c15ull | 1u;
  g.started_blocks = 0;
  g.block = draw() % g.blocks;
  g.block_step = draw_step(g.blocks);
  g.head = g.queued = 0;
  g.report.clear();
  for (unsigned i = 0; i < g.threads; ++i) {
    const unsigned row = i / blockDim.x;
    g.thread[i].index = {i % blockDim.x, row % blockDim.y, row / blockDim.y};
    g.thread[i].state = State::exited;
    g.thread[i].fiber = nullptr;
  }
  open_shared_memory(config.dynamicSmemBytes);
  g.exited = g.threads;
  note_launch(call, bytes);
  advance();
  Fiber::switch_to(main_fiber, fiber_for_fresh());
  in_kernel = false;  // where the launch has failed
  if (g.report.empty()) {
    g.report = report_at_end();
    if (g.report.empty()) return cudaSuccess;
  }
  idle.clear();
  for (const auto& fiber : fibers) {
    fiber->restart();
    idle.push_back(fiber.get());
  }
  return record(cudaErrorLaunchFailure, g.report);
}

}  // namespace needle_sim
