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

#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "fiber.h"
#include "runtime.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace needle_sim {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;

enum class State : std::uint8_t { fresh, ready, at_barrier, at_exchange, exited };

struct Thread {
  uint3 index;
  State state;
  Exchange kind;
  unsigned mask;
  int source;           // the lane whose value it asks for
  std::uint64_t value;  // what it gives, then what it gets
  const char* file;     // where it waits
  int line;
  Fiber* fiber;
};

struct Launch {
  void (*body)(const void*);
  const void* closure;
  std::uint64_t blocks, started_blocks, block, block_step;
  unsigned threads;  // of a block
  unsigned current, waiting, exited;
  unsigned head, queued;
  std::uint16_t queue[kMaxThreads];  // a ring; a thread is in it at most once
  std::uint8_t in_exchange[kMaxThreads / kWarp];
  Thread thread[kMaxThreads];
  std::uint64_t random;
  std::string report;
};

Launch g;
Fiber main_fiber;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;  // waiting in run_threads() for a fresh thread
std::mutex one_launch_at_a_time;
std::uint64_t seed_value = [] {
  const char* text = std::getenv("NEEDLE_SIM_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1u;
}();

std::uint64_t draw() {
  g.random ^= g.random << 13;
  g.random ^= g.random >> 7;
  g.random ^= g.random << 17;
  return g.random * 0x2545f4914f6cdd1dull >> 8;
}

// A step that visits all of 0 .. n - 1 when added modulo n.
std::uint64_t draw_step(std::uint64_t n) {
  for (;;) {
    const std::uint64_t step = 1 + draw() % n;
    if (std::gcd(step, n) == 1) return step % n;
  }
}

void enqueue(unsigned id) {
  g.queue[(g.head + g.queued++) % kMaxThreads] = static_cast<std::uint16_t>(id);
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

// --- reports

std::string text(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

std::string site(const Thread& t) {
  const std::string path = t.file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(t.line);
}

std::string describe(const Thread& t) {
  if (t.state == State::exited) return "have exited";
  if (t.state == State::at_barrier) return "wait at the __syncthreads in " + site(t);
  const std::string names[] = {"__syncwarp", "shuffle", "vote"};
  return "wait at the " + names[static_cast<int>(t.kind)] + " in " + site(t);
}

}  // namespace

void fail(const std::string& what) {
  g.report = what + " in block " + text(blockIdx);
  Fiber::switch_to(*g.thread[g.current].fiber, main_fiber);
  __builtin_unreachable();
}

namespace {

[[noreturn]] void fail_divergent() {
  std::string groups;
  std::vector<bool> told(g.threads);
  for (unsigned i = 0; i < g.threads; ++i) {
    if (told[i]) continue;
    const std::string what = describe(g.thread[i]);
    unsigned alike = 0;
    for (unsigned j = i; j < g.threads; ++j) {
      if (describe(g.thread[j]) != what) continue;
      told[j] = true;
      ++alike;
    }
    groups += (groups.empty() ? "" : "; ") + std::to_string(alike) + " threads, " +
              text(g.thread[i].index) + " first, " + what;
  }
  fail("divergent barrier: " + groups);
}

// --- exchanges within a warp

// Completes the exchange that thread `id` waits at if every other lane of its mask that has not
// exited is there too.
bool complete_exchange(unsigned id) {
  const Thread& self = g.thread[id];
  const unsigned first = id / kWarp * kWarp;
  unsigned present = 0;
  for (unsigned rest = self.mask; rest != 0; rest &= rest - 1) {
    const unsigned other = first + static_cast<unsigned>(std::countr_zero(rest));
    if (other >= g.threads || g.thread[other].state == State::exited) continue;
    const Thread& t = g.thread[other];
    if (t.state != State::at_exchange || t.kind != self.kind || t.mask != self.mask ||
        t.line != self.line || std::strcmp(t.file, self.file) != 0) {
      return false;
    }
    present |= 1u << (other - first);
  }
  std::uint64_t result[kWarp] = {}, votes = 0;
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((present >> lane & 1u) == 0) continue;
    const Thread& t = g.thread[first + lane];
    if (t.value != 0) votes |= 1ull << lane;
    if (t.kind != Exchange::shuffle) continue;
    if (t.source < 0 || t.source >= static_cast<int>(kWarp) || (present >> t.source & 1u) == 0) {
      fail("shuffle: lane " + std::to_string(lane) + " reads lane " + std::to_string(t.source) +
           ", which takes no part, in " + site(t));
    }
    result[lane] = g.thread[first + static_cast<unsigned>(t.source)].value;
  }
  const unsigned rotation = static_cast<unsigned>(draw() % kWarp);
  const unsigned flip = draw() % 2 == 0 ? 0 : kWarp - 1;
  for (unsigned i = 0; i < kWarp; ++i) {
    const unsigned lane = ((i + rotation) % kWarp) ^ flip;
    if ((present >> lane & 1u) == 0) continue;
    Thread& t = g.thread[first + lane];
    t.value = t.kind == Exchange::vote ? votes : result[lane];
    t.state = State::ready;
    enqueue(first + lane);
    --g.in_exchange[first / kWarp];
  }
  return true;
}

// Lanes that have exited no longer count: exchanges that wait for them only are complete.
bool complete_exchanges_past_exits() {
  bool any = false;
  for (unsigned id = 0; id < g.threads; ++id) {
    if (g.thread[id].state == State::at_exchange) any |= complete_exchange(id);
  }
  return any;
}

// --- blocks and threads

void begin_block() {
  const std::uint64_t xy = std::uint64_t{gridDim.x} * gridDim.y;
  blockIdx = {static_cast<unsigned>(g.block % gridDim.x),
              static_cast<unsigned>(g.block % xy / gridDim.x), static_cast<unsigned>(g.block / xy)};
  ++g.started_blocks;
  g.block += g.block_step;
  if (g.block >= g.blocks) g.block -= g.blocks;
  g.waiting = g.exited = 0;
  std::memset(g.in_exchange, 0, sizeof g.in_exchange);
  for (unsigned i = 0; i < g.threads; ++i) g.thread[i].state = State::fresh;
  begin_shared_memory();
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
    g.body(g.closure);
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

// The current thread waits; returns when its turn has come again.
void wait() {
  const unsigned self = g.current;
  advance();  // never the grid's end: this thread has not exited
  if (g.current == self) return;
  Fiber& next =
      g.thread[g.current].state == State::fresh ? fiber_for_fresh() : *g.thread[g.current].fiber;
  Fiber::switch_to(*g.thread[self].fiber, next);
}

bool valid(const cudaLaunchConfig_t& c) {
  const std::uint64_t threads = std::uint64_t{c.blockDim.x} * c.blockDim.y * c.blockDim.z;
  return threads >= 1 && threads <= kMaxThreads && c.blockDim.z <= 64 && c.gridDim.x >= 1 &&
         c.gridDim.y >= 1 && c.gridDim.z >= 1 && c.gridDim.x <= 0x7fffffffu &&
         c.gridDim.y <= 65535 && c.gridDim.z <= 65535 && c.dynamicSmemBytes <= kSharedMemory;
}

}  // namespace

void set_seed(std::uint64_t seed) {
  const std::lock_guard lock(one_launch_at_a_time);
  seed_value = seed;
}

std::uint64_t seed() { return seed_value; }

int lane() { return static_cast<int>(g.current % kWarp); }

void barrier(const char* file, int line) {
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
    for (unsigned i = 0; i < g.threads; ++i) g.thread[i].state = State::ready;
    enqueue_all();
  }
  wait();
}

std::uint64_t exchange(Exchange kind, unsigned mask, std::uint64_t value, int source,
                       const char* file, int line) {
  const unsigned id = g.current;
  Thread& self = g.thread[id];
  self.state = State::at_exchange;
  self.kind = kind;
  self.mask = mask;
  self.value = value;
  self.source = source;
  self.file = file;
  self.line = line;
  if ((mask >> lane() & 1u) == 0) {
    fail("shuffle: lane " + std::to_string(lane()) + " is not in its own mask, in " + site(self));
  }
  if (++g.in_exchange[id / kWarp] >= std::popcount(mask)) complete_exchange(id);
  wait();
  return self.value;
}

cudaError_t run_grid(const cudaLaunchConfig_t& config, void (*body)(const void*),
                     const void* closure) {
  if (!valid(config)) return record(cudaErrorInvalidConfiguration);
  const std::lock_guard lock(one_launch_at_a_time);
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  g.body = body;
  g.closure = closure;
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
  advance();
  Fiber::switch_to(main_fiber, fiber_for_fresh());
  if (g.report.empty()) return cudaSuccess;
  idle.clear();
  for (const auto& fiber : fibers) {
    fiber->restart();
    idle.push_back(fiber.get());
  }
  return record(cudaErrorLaunchFailure, g.report);
}

}  // namespace needle_sim
