// The allocator between streams: which blocks may be reused when, and what a graph keeps alive.
#include <algorithm>
#include <utility>

#include "allocator.h"
#include "ndarray.h"

namespace needle {

Pool& Allocator::pool_of(void* stream) {
  for (const auto& pool : pools_) {
    if (pool->stream == stream) return *pool;
  }
  pools_.push_back(std::make_unique<Pool>());
  pools_.back()->stream = stream;
  return *pools_.back();
}

Pool& Allocator::current_pool() {
  if (!tracking_.load(std::memory_order_relaxed)) return *pools_.front();
  return pool_of(backend_->runtime()->stream());
}

void Allocator::note_use_on(Storage* storage) {
  const std::lock_guard lock(mutex_);
  Pool& pool = current_pool();
  if (storage->pool == &pool) return;
  if (pool.reserved && !pool.kept.contains(storage)) {
    storage->references.fetch_add(1, std::memory_order_relaxed);
    pool.kept.emplace(storage, StorageRef(storage));
  }
  auto& users = storage->users;
  if (std::find(users.begin(), users.end(), pool.stream) == users.end())
    users.push_back(pool.stream);
}

// Whether the block may be freed now; its stream then waits for the others that have used it.
bool Allocator::settle(Storage* block) noexcept {
  if (block->exported.load(std::memory_order_relaxed)) {
    if (keep_if_capturing(block)) return false;
    try {
      backend_->synchronize();
    } catch (...) {
      // Freeing cannot fail; a device that does will say so at its next call.
    }
  }
  for (void* user : std::exchange(block->users, {})) {
    try {
      backend_->runtime()->order(block->pool->stream, user);
    } catch (...) {
    }
  }
  return true;
}

void Allocator::release(Storage* foreign) noexcept {
  Runtime* const runtime = backend_->runtime();
  if (runtime != nullptr) {
    if (keep_if_capturing(foreign)) return;
    try {
      backend_->synchronize();  // its owner does not know our streams
    } catch (...) {
    }
  }
  foreign->release();
  delete foreign;
}

// Nothing can be waited for while a graph is captured: the storage lives as long as the graph.
bool Allocator::keep_if_capturing(Storage* storage) noexcept {
  const Runtime* const runtime = backend_->runtime();
  if (runtime == nullptr || !runtime->capturing()) return false;
  const std::lock_guard lock(mutex_);
  storage->references.store(1, std::memory_order_relaxed);
  current_pool().kept.emplace(storage, StorageRef(storage));
  return true;
}

void Allocator::reserve(void* stream) {
  track_streams();
  const std::lock_guard lock(mutex_);
  pool_of(stream).reserved = true;
}

void Allocator::unreserve(void* stream) noexcept {
  std::unordered_map<const Storage*, StorageRef> kept;  // let go without the lock
  const std::lock_guard lock(mutex_);
  Pool& pool = pool_of(stream);
  pool.reserved = false;
  kept.swap(pool.kept);
}

void Allocator::note_replay(void* captured, void* stream) {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, storage] : pool_of(captured).kept) {
    if (storage->pool == nullptr || storage->pool->stream == stream) continue;
    auto& users = storage->users;
    if (std::find(users.begin(), users.end(), stream) == users.end()) users.push_back(stream);
  }
}

}  // namespace needle
