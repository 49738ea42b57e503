// The checker: a map of the memory that kernels may use, and what is wrong with an access. See
// checker.h.
#include "checker.h"

#include <cuda_runtime.h>

#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "accesses.h"
#include "launch.h"
#include "program.h"
#include "runtime.h"
#include "shadow.h"

namespace needle_sim {

thread_local bool in_kernel = false;

namespace {

using Address = std::uintptr_t;

// A device block, or an object in shared memory.
struct Piece {
  Address start;
  std::size_t bytes;
  Shadow* shadow;
  std::size_t offset;   // of the piece in its shadow
  std::uint32_t since;  // the epoch from which its contents count as written
  const char* what;
};

struct Block {
  Address start;
  std::size_t bytes;
  std::unique_ptr<Shadow> shadow;
};

std::mutex blocks_mutex;
std::map<Address, Block> blocks;
std::map<Address, std::size_t> freed;                   // as long as nothing else lies there
std::vector<std::map<Address, Block>::node_type> dead;  // a launch may still look at them
Block* recent[4];                                       // found last by the launch that runs
unsigned oldest = 0;
constexpr std::size_t kFar = 1024;  // from a block: where its name would mislead
std::string unwritten_read;         // the launch's first

Address arguments_start = 0;  // of the kernel, where the launch keeps them
std::size_t arguments_bytes = 0;

Address number(const void* p) { return reinterpret_cast<Address>(p); }

Block* find_block(Address address) {
  for (Block* block : recent) {
    if (block != nullptr && address - block->start < block->bytes) return block;
  }
  const std::lock_guard lock(blocks_mutex);
  const auto after = blocks.upper_bound(address);
  if (after == blocks.begin()) return nullptr;
  Block& block = std::prev(after)->second;
  if (address - block.start >= block.bytes) return nullptr;
  return recent[oldest++ % 4] = &block;
}

Shadow& shared_shadow() {
  static Shadow shadow(kSharedArena);
  return shadow;
}

// The piece that holds an address; of no bytes if none does.
Piece find(const void* start) {
  const SharedObject object = shared_object_at(start);
  if (object.bytes > 0) {
    return {number(object.start), object.bytes,    &shared_shadow(),
            object.offset,        now.block_first, "a shared object"};
  }
  if (in_shared_memory(start)) return {};
  const Block* block = find_block(number(start));
  if (block == nullptr) return {};
  return {block->start, block->bytes, block->shadow.get(), 0, 1, "a device block"};
}

// --- reports

std::string bytes_text(std::size_t n) { return std::to_string(n) + (n == 1 ? " byte" : " bytes"); }

std::string verb(Access access) {
  const char* const verbs[] = {"reads", "writes", "reads atomically", "changes atomically"};
  return verbs[static_cast<int>(access)];
}

std::string who(unsigned thread) { return "thread " + text(g.thread[thread].index); }

// Where an address lies that no thread may use.
std::string astray(const void* start) {
  if (in_shared_memory(start)) return "outside the shared objects of the kernel";
  const Address address = number(start);
  if (in_program(start)) return "in a global variable or constant of the host's program";
  const std::lock_guard lock(blocks_mutex);
  const auto gone = freed.upper_bound(address);
  if (gone != freed.begin() && address - std::prev(gone)->first < std::prev(gone)->second) {
    return "in freed device memory, a block of " + bytes_text(std::prev(gone)->second);
  }
  const auto after = blocks.upper_bound(address);
  const std::size_t before = after == blocks.end() ? kFar : after->first - address;
  if (after != blocks.begin()) {
    const Block& below = std::prev(after)->second;
    const std::size_t past = address - below.start - below.bytes;
    if (past < kFar && past <= before) {
      return bytes_text(past) + " past the end of a device block of " + bytes_text(below.bytes);
    }
  }
  if (before < kFar) {
    return bytes_text(before) + " before the start of a device block of " +
           bytes_text(after->second.bytes);
  }
  return "in no device block (a host pointer?)";
}

[[noreturn]] void fail_race(const Conflict& conflict, const std::string& deed) {
  const Record& other = conflict.record;
  const bool same_block = other.epoch >= now.block_first;
  const Access old = conflict.by_write ? (other.atomic ? Access::atomic_write : Access::write)
                                       : (other.atomic ? Access::atomic_read : Access::read);
  fail("race: " + deed + "; " + who(other.thread) +
       (same_block ? "" : " of block " + text(block_index(block_of(other.epoch)))) + " " +
       verb(old) + " it in " + source_line(other.code) + ", with " +
       (same_block ? "no barrier" : "nothing to order the blocks") + " between;");
}

}  // namespace

void check_access(const void* start, std::size_t bytes, Access access, const void* code,
                  bool aligned) try {
  if (!in_kernel || bytes == 0) return;
  const Outside simulator;
  if (g.thread[g.current].fiber->holds(start)) return;
  const Address address = number(start);
  if (access == Access::read && in_program(start) && readable(start)) return;
  if (address - arguments_start < arguments_bytes) return;

  const auto deed = [&] {
    return who(g.current) + " " + verb(access) + " " + bytes_text(bytes) + " in " +
           source_line(code) + ", ";
  };
  const Piece piece = find(start);
  const std::size_t at = address - piece.start;
  const auto place = [&] {
    return "at byte " + std::to_string(at) + " of " + piece.what + " of " + bytes_text(piece.bytes);
  };
  if (piece.bytes == 0) fail("out of bounds: " + deed() + astray(start));
  if (bytes > piece.bytes - at) fail("out of bounds: " + deed() + place());
  if (aligned && address % bytes != 0) fail("misaligned: " + deed() + place());

  const bool reads = access == Access::read || access == Access::atomic_read;
  if (access == Access::atomic_read || access == Access::atomic_write) {
    meet(start, g.current, access);
  }
  const std::size_t first = piece.offset + at;
  // A race where the writer has yet to come is told as a race, so this report waits for the end.
  if (reads && !piece.shadow->written(first, bytes, piece.since)) {
    if (unwritten_read.empty()) unwritten_read = told("never written: " + deed() + place());
  }
  const Conflict conflict =
      piece.shadow->check(first, bytes, access, record_now(g.current, access, code), piece.since);
  if (conflict.found) fail_race(conflict, deed() + place());
} catch (const std::bad_alloc&) {
  fail("no memory for the records of the checker");
}

void fail_at(const Fault& fault) {
  if (!in_kernel) return;
  const Outside simulator;
  fail(std::string(fault.rule) + ": " + who(g.current) + " " + fault.deed + " in " +
       site(fault.file, static_cast<int>(fault.line)));
}

// --- notes of the runtime and the scheduler

bool note_allocated(const void* block, std::size_t bytes) {
  if (!instrumented()) return true;
  std::unique_ptr<Shadow> shadow;
  try {
    shadow = std::make_unique<Shadow>(bytes);
  } catch (const std::bad_alloc&) {
    return false;
  }
  const std::lock_guard lock(blocks_mutex);
  const Address start = number(block);
  for (auto old = freed.lower_bound(start); old != freed.begin();) {  // none overlap each other
    if (std::prev(old)->first + std::prev(old)->second <= start) break;
    old = freed.erase(std::prev(old));
  }
  for (auto old = freed.lower_bound(start); old != freed.end() && old->first < start + bytes;) {
    old = freed.erase(old);
  }
  blocks[start] = {start, bytes, std::move(shadow)};
  return true;
}

void note_freed(const void* block) {
  if (!instrumented()) return;
  const std::lock_guard lock(blocks_mutex);
  const auto at = blocks.find(number(block));
  if (at == blocks.end()) return;
  freed[at->first] = at->second.bytes;
  at->second.bytes = 0;
  dead.push_back(blocks.extract(at));
}

static void note(const void* start, std::size_t bytes, std::uint32_t epoch) {
  if (!instrumented() || bytes == 0) return;
  const std::lock_guard lock(blocks_mutex);
  const auto after = blocks.upper_bound(number(start));
  if (after == blocks.begin()) return;
  const Block& block = std::prev(after)->second;
  block.shadow->begins(number(start) - block.start, bytes, epoch);
}

void note_written(const void* start, std::size_t bytes) { note(start, bytes, 1); }

void note_unwritten(const void* start, std::size_t bytes) { note(start, bytes, 0); }

void note_launch(const void* arguments, std::size_t bytes) {
  if (!instrumented()) return;
  {
    const std::lock_guard lock(blocks_mutex);
    dead.clear();
  }
  for (Block*& block : recent) block = nullptr;
  arguments_start = number(arguments);
  arguments_bytes = bytes;
  unwritten_read.clear();
  begin_order();
}

std::string report_at_end() { return unwritten_read; }

}  // namespace needle_sim
