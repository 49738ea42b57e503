// Allocator: a caching allocator per device. Freed blocks wait in size classes for the next
// request; statistics make a leak a number; checked mode poisons memory with NaN and puts guard
// bands around every block.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "backend.h"

namespace needle {

struct Device;

// A block of device memory, shared by the arrays that view it. The allocator's own blocks stay
// joined to their record while they wait for reuse; foreign memory (DLPack, buffers) has a release
// hook instead.
struct Storage {
  std::atomic<std::int64_t> references{1};
  Device* device = nullptr;
  void* data = nullptr;
  std::size_t bytes = 0;          // what was asked for
  std::function<void()> release;  // set: foreign memory
  bool writable = true;

 private:
  friend class Allocator;
  void* base = nullptr;      // what the backend gave
  std::size_t capacity = 0;  // its size
  int size_class = 0;
  bool guarded = false;  // has guard bands, and its place in the allocator's list of guarded blocks
  Storage* next = nullptr;      // in the free list of its class, or among the guarded blocks
  Storage* previous = nullptr;  // among the guarded blocks
};

struct AllocatorStats {
  std::int64_t live_bytes = 0;  // requested and not yet freed
  std::int64_t live_blocks = 0;
  std::int64_t peak_bytes = 0;    // highest live_bytes since reset_peak
  std::int64_t cached_bytes = 0;  // held for reuse
  std::int64_t allocations = 0;   // requests so far
  std::int64_t cache_hits = 0;    // requests served without the system
};

class Allocator {
 public:
  // NEEDLE_CHECKED=1 in the environment turns checked mode on.
  Allocator(Backend* backend, Device* device);
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;
  ~Allocator();

  // 64-byte aligned, one reference; 0 bytes give a distinct valid block; throws OutOfMemory.
  Storage* allocate(std::size_t bytes);
  void deallocate(Storage* block) noexcept;
  void empty_cache() noexcept;
  AllocatorStats stats() const;
  void reset_peak();

  // Checked mode: blocks allocated from now on are filled with 0xFF bytes (a NaN in every float
  // type), again when they are freed, and surrounded by guard bands.
  void set_checked(bool on);
  bool checked() const;
  // Damage found in guard bands since the last call (on free, and now over every live block); one
  // line per block.
  std::vector<std::string> check_guards();

 private:
  static constexpr int kClasses = 256;
  static constexpr std::size_t kGuardBytes =
      256;  // at least this much before and after a guarded block

  Storage* fresh(std::size_t bytes, int size_class);
  void* raw(std::size_t capacity);
  [[noreturn]] void throw_out_of_memory(std::size_t bytes, const AllocatorStats& held) const;

  struct Band {
    std::ptrdiff_t at;  // from the start of the block's data
    std::size_t bytes;
  };
  using Bands = std::array<Band, 2>;  // before and after the data
  static Bands bands(const Storage& block);
  void prepare_guarded(Storage* block);
  void retire_guarded(Storage* block) noexcept;
  void inspect(const Storage& block, const char* when);  // the lock is held

  Backend* backend_;
  Device* device_;
  mutable std::mutex mutex_;
  std::array<Storage*, kClasses> free_{};
  Storage* guarded_ = nullptr;
  std::vector<std::string> damage_;
  AllocatorStats stats_;
  std::int64_t high_water_ = 0;  // highest live_bytes ever: bounds the cache
  std::atomic<bool> checked_ = false;
};

}  // namespace needle
