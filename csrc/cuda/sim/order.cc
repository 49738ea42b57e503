// Which accesses of a launch are ordered: epochs of blocks, ticks within warps, blocks that met.
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "launch.h"
#include "shadow.h"

namespace needle_sim {

Clock now{2, 2, 2};

namespace {

struct Moment {
  std::uint32_t epoch;
  std::uint16_t tick;
  auto operator<=>(const Moment&) const = default;
};

// What is known of a block: all that it did before the epoch `before`, and what each thread did
// before a moment.
struct Deeds {
  std::uint32_t before;
  std::vector<Moment> of;
};
using Known = std::map<std::uint32_t, std::shared_ptr<const Deeds>>;  // by a block's first epoch

void add(Known& to, const Known& from) {
  for (const auto& [block, deeds] : from) {
    std::shared_ptr<const Deeds>& known = to[block];
    if (known == nullptr) known = deeds;
    if (known == deeds) continue;
    Deeds both = *known;
    both.before = std::max(both.before, deeds->before);
    both.of.resize(std::max(both.of.size(), deeds->of.size()));
    for (std::size_t i = 0; i < deeds->of.size(); ++i)
      both.of[i] = std::max(both.of[i], deeds->of[i]);
    known = std::make_shared<const Deeds>(std::move(both));
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
bool any_known;  // whether known_to holds anything

// What lies before a fence, and may be told to others: of threads since the last barrier, and of
// the block before it.
Known fenced_by[kMaxThreads], fenced_by_block;
bool any_fenced;  // whether fenced_by holds anything

// How often each lane has passed a warp barrier or a fence, as far as each thread knows.
std::uint16_t ticks[kMaxThreads][kWarp];
bool ticked[kMaxThreads / kWarp];  // whether the warp has ticks: rare, so they are reset on demand

const Start& start_of(std::uint32_t epoch) {
  return *--std::upper_bound(starts.begin(), starts.end(), epoch,
                             [](std::uint32_t e, const Start& s) { return e < s.epoch; });
}

bool covers(const Known& known, std::uint32_t block_start, const Record& before) {
  const auto at = known.find(block_start);
  if (at == known.end()) return false;
  const Deeds& deeds = *at->second;
  if (before.epoch < deeds.before) return true;
  return before.thread < deeds.of.size() &&
         Moment{before.epoch, before.tick} < deeds.of[before.thread];
}

void begin_ticks(unsigned warp) {
  if (!ticked[warp]) std::fill_n(&ticks[warp * kWarp][0], kWarp * kWarp, std::uint16_t{0});
  ticked[warp] = true;
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
  } else if (!fenced_by_block.empty() || !fenced_by[thread].empty()) {
    Known& known = released[address];
    add(known, fenced_by_block);
    add(known, fenced_by[thread]);
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
  fenced_by_block.clear();
  for (unsigned i = 0; any_fenced && i < kMaxThreads; ++i) fenced_by[i].clear();
  any_known = any_fenced = false;
  std::fill_n(ticked, kMaxThreads / kWarp, false);
}

void note_barrier() {
  if (!instrumented()) return;
  ++now.epoch;
  for (unsigned i = 0; i < g.threads; ++i) {
    if (any_fenced) {
      add(fenced_by_block, fenced_by[i]);
      fenced_by[i].clear();
    }
    if (any_known) add(known_to_block, known_to[i]);
  }
}

void note_warp_barrier(unsigned first, unsigned lanes) {
  if (!instrumented()) return;
  begin_ticks(first / kWarp);
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
  if (!instrumented()) return;
  any_fenced = true;
  const unsigned thread = g.current;
  begin_ticks(thread / kWarp);
  Deeds own{now.epoch, std::vector<Moment>(thread + 1)};
  own.of[thread] = {now.epoch, ++ticks[thread][thread % kWarp]};
  Known& known = fenced_by[thread];
  add(known, known_to_block);
  add(known, known_to[thread]);
  add(known, {{now.block_first, std::make_shared<const Deeds>(std::move(own))}});
}

void begin_order() {
  now.launch_first = now.block_first = ++now.epoch;
  starts.clear();
  released.clear();
}

}  // namespace needle_sim
