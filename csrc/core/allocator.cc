// The caching allocator. A block and its record stay together for as long as the backend's memory
// is held, so the common path is one lock, one list and no look-up.
#include "allocator.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "environment.h"
#include "errors.h"
#include "host_memory.h"
#include "ndarray.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace needle {
namespace {

constexpr std::size_t kUnit = 64;                         // granularity and alignment
constexpr std::size_t kMostBytes = std::size_t{1} << 47;  // no address space holds more
constexpr std::size_t kAskSystem = std::size_t{8}
                                   << 20;  // from here on the system's room is looked up first
constexpr std::int64_t kCacheSlack = std::int64_t{64} << 20;

// Under AddressSanitizer, memory that is held but not handed out is out of bounds: cached blocks,
// and the rest of a live one. Guarded blocks keep their surroundings readable: the guards look
// after them.
#if defined(__SANITIZE_ADDRESS__)
void forbid(const Backend& backend, const void* start, std::size_t bytes) {
  if (backend.host_memory()) ASAN_POISON_MEMORY_REGION(start, bytes);
}
void allow(const Backend& backend, const void* start, std::size_t bytes) {
  if (backend.host_memory()) ASAN_UNPOISON_MEMORY_REGION(start, bytes);
}
#else
void forbid(const Backend&, const void*, std::size_t) {}
void allow(const Backend&, const void*, std::size_t) {}
#endif

bool capturing(Backend& backend) {
  const Runtime* runtime = backend.runtime();
  return runtime != nullptr && runtime->capturing();
}

// Size classes: 1, 2, 3, 4 units, then four steps to every power of two.
int class_of(std::size_t bytes) {
  const std::size_t last = bytes == 0 ? 0 : (bytes - 1) / kUnit;
  if (last < 4) return static_cast<int>(last);
  const int shift = static_cast<int>(std::bit_width(last)) - 3;
  return shift * 4 + static_cast<int>(last >> shift);
}

std::size_t class_bytes(int size_class) {
  if (size_class < 4) return static_cast<std::size_t>(size_class + 1) * kUnit;
  const int shift = size_class / 4 - 1;
  return (static_cast<std::size_t>(size_class % 4 + 5) << shift) * kUnit;
}

}  // namespace

Allocator::Allocator(Backend* backend, Device* device) : backend_(backend), device_(device) {
  pools_.push_back(std::make_unique<Pool>());
  backend->use_scratch(this);
  checked_ = switched_on("NEEDLE_CHECKED");
}

Allocator::~Allocator() { empty_cache(); }

Storage* Allocator::allocate(std::size_t bytes) {
  if (bytes > kMostBytes) throw_out_of_memory(bytes, stats());
  // What a graph captures cannot be looked at: it has not run.
  const bool guarded = checked() && !capturing(*backend_);
  const int size_class = class_of(guarded ? bytes + 2 * kGuardBytes : bytes);
  Storage* block = nullptr;
  {
    std::unique_lock lock(mutex_);
    Pool& pool = current_pool();
    Storage*& head = pool.free[static_cast<std::size_t>(size_class)];
    block = head;
    if (block != nullptr) {
      head = block->next;
      stats_.cached_bytes -= static_cast<std::int64_t>(block->capacity);
      ++stats_.cache_hits;
    } else {
      lock.unlock();  // the backend may wait for other locks
      block = fresh(bytes, size_class);
      lock.lock();
      block->pool = &pool;
    }
    ++stats_.allocations;
    ++stats_.live_blocks;
    stats_.live_bytes += static_cast<std::int64_t>(bytes);
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
    high_water_ = std::max(high_water_, stats_.live_bytes);
  }
  block->references.store(1, std::memory_order_relaxed);
  block->data = block->base;
  block->bytes = bytes;
  block->writable = true;
  block->exported.store(false, std::memory_order_relaxed);
  allow(*backend_, block->base, guarded ? block->capacity : bytes);
  if (guarded) prepare_guarded(block);
  return block;
}

void Allocator::deallocate(Storage* block) noexcept {
  if (!settle(block)) return;
  if (block->guarded) retire_guarded(block);
  forbid(*backend_, block->base, block->capacity);
  bool too_much = false;
  {
    const std::lock_guard lock(mutex_);
    --stats_.live_blocks;
    stats_.live_bytes -= static_cast<std::int64_t>(block->bytes);
    stats_.cached_bytes += static_cast<std::int64_t>(block->capacity);
    // Sizes that never come back must not pile up: twice what was ever live at once is enough for
    // every other use.
    too_much = stats_.cached_bytes > 2 * high_water_ + kCacheSlack;
    Storage*& head = block->pool->free[static_cast<std::size_t>(block->size_class)];
    block->next = head;
    head = block;
  }
  if (too_much) empty_cache();
}

Storage* Allocator::fresh(std::size_t bytes, int size_class) {
  auto block = std::make_unique<Storage>();
  block->device = device_;
  block->size_class = size_class;
  block->capacity = class_bytes(size_class);
  block->base = raw(block->capacity);
  if (block->base == nullptr) {
    const AllocatorStats before = stats();
    empty_cache();
    block->base = raw(block->capacity);
    if (block->base == nullptr) throw_out_of_memory(bytes, before);
  }
  forbid(*backend_, block->base, block->capacity);
  return block.release();
}

void* Allocator::raw(std::size_t capacity) {
  if (capacity >= kAskSystem && backend_->host_memory() &&
      static_cast<std::int64_t>(capacity) > host_memory_available()) {
    return nullptr;
  }
  return backend_->raw_allocate(capacity);
}

void Allocator::throw_out_of_memory(std::size_t bytes, const AllocatorStats& held) const {
  const std::string rule = "no memory left on " + device_->repr();
  Runtime* const runtime = backend_->runtime();
  if (runtime == nullptr) {
    throw OutOfMemory(message("allocate", rule, "bytes", bytes, "live_bytes", held.live_bytes,
                              "cached_bytes", held.cached_bytes));
  }
  const MemoryRoom room = runtime->room();
  throw OutOfMemory(message("allocate", rule, "bytes", bytes, "live_bytes", held.live_bytes,
                            "cached_bytes", held.cached_bytes, "device_free_bytes", room.free_bytes,
                            "device_total_bytes", room.total_bytes));
}

void Allocator::empty_cache() noexcept {
  Storage* all = nullptr;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& pool : pools_) {
      if (pool->reserved) continue;
      for (Storage*& head : pool->free) {
        while (head != nullptr) {
          Storage* block = std::exchange(head, head->next);
          stats_.cached_bytes -= static_cast<std::int64_t>(block->capacity);
          block->next = std::exchange(all, block);
        }
      }
    }
  }
  while (all != nullptr) {
    Storage* block = std::exchange(all, all->next);
    allow(*backend_, block->base, block->capacity);
    backend_->raw_free(block->base, block->capacity);
    delete block;
  }
}

AllocatorStats Allocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.live_bytes;
}

}  // namespace needle
