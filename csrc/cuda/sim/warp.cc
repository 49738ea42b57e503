// Exchanges within a warp: shuffles, votes and __syncwarp. The lanes of a mask meet, the last to
// arrive hands every lane its result.
#include <bit>
#include <cstring>
#include <string>

#include "checker.h"
#include "launch.h"
#include "runtime.h"

namespace needle_sim {
namespace {

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
  if (self.kind == Exchange::sync) note_warp_barrier(first, present);
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

}  // namespace

// Lanes that have exited no longer count: exchanges that wait for them only are complete.
bool complete_exchanges_past_exits() {
  bool any = false;
  for (unsigned id = 0; id < g.threads; ++id) {
    if (g.thread[id].state == State::at_exchange) any |= complete_exchange(id);
  }
  return any;
}

int lane() { return static_cast<int>(g.current % kWarp); }

std::uint64_t exchange(Exchange kind, unsigned mask, std::uint64_t value, int source,
                       const char* file, int line) {
  const Outside simulator;
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

}  // namespace needle_sim
