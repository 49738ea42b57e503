// Allocator: a caching allocator per device. Freed blocks wait in size classes for the next
// request; statistics make a leak a number; checked mode poisons memory with NaN and puts guard
// bands around every block.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend.h"
#include "storage.h"

namespace needle {

struct AllocatorStats {
  std::int64_t live_bytes = 0;  // requested and not yet freed
  std::int64_t live_blocks = 0;
  std::int64_t peak_bytes = 0;    // highest live_bytes since reset_peak
  std::int64_t cached_bytes = 0;  // held for reuse
  std::int64_t allocations = 0;   // requests so far
  std::int64_t cache_hits = 0;    // requests served without the system
};

// Free blocks that the work of one stream may reuse at once, as it runs in order.
struct Pool {
  static constexpr int kClasses = 256;
  void* stream = nullptr;
  std::array<Storage*, kClasses> free{};
  // A graph's: its replays use these blocks, and those of others that it keeps alive.
  bool reserved = false;
  std::unordered_map<const Storage*, StorageRef> kept;
};

// Streams: a block belongs to the stream that it was allocated on. When it is freed after work of
// other streams has used it, its own waits for those first.
class Allocator final : public ScratchSource {
 public:
  // NEEDLE_CHECKED=1 in the environment turns checked mode on; ValueError unless it is 0 or 1.
  Allocator(Backend* backend, Device* device);
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;
  ~Allocator();

  // 64-byte aligned, one reference; 0 bytes give a distinct valid block; throws OutOfMemory.
  Storage* allocate(std::size_t bytes) override;
  void deallocate(Storage* block) noexcept override;
  // The last reference to foreign memory is gone: when its work is done, so is the storage.
  void release(Storage* foreign) noexcept;
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

  // --- streams
  void track_streams() { tracking_.store(true, std::memory_order_relaxed); }  // there are several
  // A kernel of the calling thread's stream is about to use the storage.
  void note_use(Storage* storage) {
    if (tracking_.load(std::memory_order_relaxed)) note_use_on(storage);
  }
  // A graph's pool is its own from the capture until the graph is gone.
  void reserve(void* stream);
  void unreserve(void* stream) noexcept;
  void note_replay(void* captured, void* stream);

 private:
  static constexpr int kClasses = Pool::kClasses;
  static constexpr std::size_t kGuardBytes =
      256;  // at least this much before and after a guarded block

  Storage* fresh(std::size_t bytes, int size_class);
  void* raw(std::size_t capacity);
  [[noreturn]] void throw_out_of_memory(std::size_t bytes, const AllocatorStats& held) const;

  Pool& pool_of(void* stream);  // the lock is held
  Pool& current_pool();         // the lock is held
  void note_use_on(Storage* storage);
  bool settle(Storage* block) noexcept;
  bool keep_if_capturing(Storage* storage) noexcept;

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
  std::vector<std::unique_ptr<Pool>> pools_;  // the first is the default stream's
  Storage* guarded_ = nullptr;
  std::vector<std::string> damage_;
  AllocatorStats stats_;
  std::int64_t high_water_ = 0;  // highest live_bytes ever: bounds the cache
  std::atomic<bool> checked_ = false;
  std::atomic<bool> tracking_ = false;
};

}  // namespace needle
