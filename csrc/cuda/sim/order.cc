// Which accesses of a launch are ordered: epochs of blocks, ticks within warps, blocks that met.
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "launch.h"
#include "shadow.h"

namespace needle_sim {

Clock now{2, 2, 2};

namespace {

// What is known of other blocks: everything that block `first` did in epochs before `until`, and
// that `thread` did in that one.
struct Source {
  std::uint32_t first;
  unsigned thread;
  auto operator<=>(const Source&) const = default;
};
using Known = std::map<Source, std::uint32_t>;

void add(Known& to, const Known& from) {
  for (const auto& [source, until] : from) {
    std::uint32_t& known = to[source];
    known = std::max(known, until);
  }
}

struct Start {
  std::uint32_t epoch;
  std::uint64_t block;
};
std::vector<Start> starts;  // of this launch's blocks
std::unordered_map<const void*, Known> released;
Known known_to_block;
Known known_to[kMaxThreads];
bool fenced[kMaxThreads], block_fenced;
bool any_known;  // whether known_to holds anything

// How often each lane has passed a warp barrier, as far as each thread knows.
std::uint16_t ticks[kMaxThreads][kWarp];
bool ticked[kMaxThreads / kWarp];  // whether the warp has ticks: rare, so they are reset on demand

const Start& start_of(std::uint32_t epoch) {
  return *--std::upper_bound(starts.begin(), starts.end(), epoch,
                             [](std::uint32_t e, const Start& s) { return e < s.epoch; });
}

bool covers(const Known& known, std::uint32_t block_start, const Record& before) {
  for (auto at = known.lower_bound({block_start, 0});
       at != known.end() && at->first.first == block_start; ++at) {
    if (before.epoch < at->second) return true;
    if (before.epoch == at->second && before.thread == at->first.thread) return true;
  }
  return false;
}

}  // namespace

Record record_now(unsigned thread, Access access, const void* code) {
  const bool atomic = access == Access::atomic_read || access == Access::atomic_write;
  const std::uint16_t tick = ticked[thread / kWarp] ? ticks[thread][thread % kWarp] : 0;
  return {now.epoch, static_cast<std::uint16_t>(thread & 0x7fffu), atomic, tick, code};
}

bool ordered(const Record& before, const Record& after) {
  if (before.epoch < now.launch_first) return true;
  if (before.epoch >= now.block_first) {
    if (before.epoch < now.epoch || before.thread == after.thread) return true;
    const unsigned warp = before.thread / kWarp;
    return warp == after.thread / kWarp && ticked[warp] &&
           ticks[after.thread][before.thread % kWarp] > before.tick;
  }
  if (known_to_block.empty() && !any_known) return false;
  const std::uint32_t block_start = start_of(before.epoch).epoch;
  return covers(known_to_block, block_start, before) ||
         covers(known_to[after.thread], block_start, before);
}

void meet(const void* address, unsigned thread, Access access) {
  if (access == Access::atomic_read) {
    const auto at = released.find(address);
    if (at == released.end()) return;
    add(known_to[thread], at->second);
    any_known = true;
  } else if (fenced[thread] || block_fenced) {
    Known& known = released[address];
    add(known, known_to_block);
    add(known, known_to[thread]);
    add(known, {{{now.block_first, thread}, now.epoch}});
  }
}

std::uint64_t block_of(std::uint32_t epoch) { return start_of(epoch).block; }

// --- what the scheduler tells

void note_block() {
  if (!instrumented()) return;
  now.block_first = ++now.epoch;
  starts.push_back(
      {now.epoch, blockIdx.x + std::uint64_t{gridDim.x} *
                                   (blockIdx.y + std::uint64_t{gridDim.y} * blockIdx.z)});
  known_to_block.clear();
  for (unsigned i = 0; any_known && i < kMaxThreads; ++i) known_to[i].clear();
  any_known = block_fenced = false;
  std::fill_n(fenced, kMaxThreads, false);
  std::fill_n(ticked, kMaxThreads / kWarp, false);
}

void note_barrier() {
  if (!instrumented()) return;
  ++now.epoch;
  for (unsigned i = 0; i < g.threads; ++i) {
    block_fenced |= fenced[i];
    if (any_known) add(known_to_block, known_to[i]);
  }
}

void note_warp_barrier(unsigned first, unsigned lanes) {
  if (!instrumented()) return;
  bool& begun = ticked[first / kWarp];
  if (!begun) std::fill_n(&ticks[first][0], kWarp * kWarp, std::uint16_t{0});
  begun = true;
  std::uint16_t latest[kWarp] = {};
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((lanes >> lane & 1u) == 0) continue;
    std::uint16_t* mine = ticks[first + lane];
    ++mine[lane];
    for (unsigned i = 0; i < kWarp; ++i) latest[i] = std::max(latest[i], mine[i]);
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if ((lanes >> lane & 1u) != 0) std::copy_n(latest, kWarp, ticks[first + lane]);
  }
}

void note_fence() {
  if (instrumented()) fenced[g.current] = true;
}

void begin_order() {
  now.launch_first = now.block_first = ++now.epoch;
  starts.clear();
  released.clear();
}

}  // namespace needle_sim
