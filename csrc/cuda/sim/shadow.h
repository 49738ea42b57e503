// Shadow: for every word of a piece of memory its last write and two reads since, and whether
// two accesses are ordered.
//
// Time is counted in epochs: each block of each launch begins one, and each barrier that a block
// passes. Two accesses are ordered when one thread makes both, when their launches differ, when
// they belong to different epochs of one block, when __syncwarp lies between them, or when their
// blocks met: after the first access a thread that knows of it (its own, or of an earlier epoch)
// passed __threadfence, then it or, behind a barrier, another of its block changed a value
// atomically; and the other accessed that value atomically before the second.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "checker.h"

namespace needle_sim {

struct Record {
  std::uint32_t epoch;  // 0: none, 1: the host
  std::uint16_t thread : 15;
  std::uint16_t atomic : 1;
  std::uint16_t tick;  // of the thread: barriers of its warp and fences that it has passed
  const void* code;
};

struct Cell {
  Record write, reads[2];
};

// What a new access does against an older one that it is not ordered with.
struct Conflict {
  bool found, by_write;  // what the older one was
  Record record;
};

class Shadow {
 public:
  explicit Shadow(std::size_t bytes);

  // What happened before the epoch `since` does not count.
  bool written(std::size_t first, std::size_t bytes, std::uint32_t since);
  Conflict check(std::size_t first, std::size_t bytes, Access access, const Record& record,
                 std::uint32_t since);
  void begins(std::size_t first, std::size_t bytes, std::uint32_t epoch);  // as Record has it

 private:
  struct Free {
    void operator()(Cell* cells) const { std::free(cells); }
  };
  Cell* begin(std::size_t first, std::size_t bytes);
  Cell* end(std::size_t first, std::size_t bytes);
  void split();

  std::size_t bytes_;
  unsigned shift_ = 2;  // log2 of the bytes of a cell: words until an access cuts one
  std::unique_ptr<Cell[], Free> cells_;
};

// --- the clock of the launch that is running

struct Clock {
  std::uint32_t epoch, block_first, launch_first;
};
extern Clock now;

Record record_now(unsigned thread, Access access, const void* code);
bool ordered(const Record& before, const Record& after);
// An atomic access: blocks may meet here.
void meet(const void* address, unsigned thread, Access access);
std::uint64_t block_of(std::uint32_t epoch);  // its place in the grid
void begin_order();                           // at a launch

}  // namespace needle_sim
