// Allocator: a caching allocator per device. Freed blocks wait in size classes for the next request; statistics make
// a leak a number; checked mode poisons fresh memory with NaN and puts guard bands around every block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend.h"

namespace needle {

struct AllocatorStats {
  std::int64_t live_bytes = 0;    // requested and not yet freed
  std::int64_t live_blocks = 0;
  std::int64_t peak_bytes = 0;    // highest live_bytes since reset_peak
  std::int64_t cached_bytes = 0;  // held for reuse
  std::int64_t allocations = 0;   // requests so far
  std::int64_t cache_hits = 0;    // requests served without the system
};

class Allocator {
 public:
  explicit Allocator(Backend* backend);
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  void* allocate(std::size_t bytes);  // 64-byte aligned; 0 bytes give a distinct valid block; throws OutOfMemory
  void deallocate(void* block) noexcept;
  void empty_cache();
  AllocatorStats stats() const;
  void reset_peak();

  // Checked mode (NEEDLE_CHECKED=1 at load, or here): blocks allocated from now on are poisoned with 0xFF bytes (a NaN
  // in every float type) and surrounded by guard bands.
  void set_checked(bool on);
  bool checked() const;
  // Damage found in guard bands since the last call (on free, and now over every live block); one line per block.
  std::vector<std::string> check_guards();

 private:
  struct Block {
    void* base;              // what the backend gave
    std::size_t capacity;    // its size
    std::size_t requested;   // what the caller asked for
    bool guarded;
  };
  Backend* backend_;
  mutable std::mutex mutex_;
  std::unordered_map<void*, Block> live_;
  std::map<std::size_t, std::vector<void*>> cache_;
  std::vector<std::string> damage_;
  AllocatorStats stats_;
  bool checked_ = false;
};

}  // namespace needle
