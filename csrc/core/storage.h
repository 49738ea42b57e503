// Storage: a block of device memory, shared by the arrays that view it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace needle {

struct Device;
struct Pool;

// The allocator's own blocks stay joined to their record while they wait for reuse; foreign memory
// (DLPack, buffers) has a release hook instead.
struct Storage {
  std::atomic<std::int64_t> references{1};
  Device* device = nullptr;
  void* data = nullptr;
  std::size_t bytes = 0;          // what was asked for
  std::function<void()> release;  // set: foreign memory
  bool writable = true;
  std::atomic<bool> exported{false};  // somebody else's stream may use it, we cannot know which

 private:
  friend class Allocator;
  void* base = nullptr;      // what the backend gave
  std::size_t capacity = 0;  // its size
  int size_class = 0;
  bool guarded = false;  // has guard bands, and its place in the allocator's list of guarded blocks
  Storage* next = nullptr;      // in the free list of its class, or among the guarded blocks
  Storage* previous = nullptr;  // among the guarded blocks
  Pool* pool = nullptr;         // where it waits for reuse
  std::vector<void*> users;     // streams other than its pool's that have used it
};

class StorageRef {
 public:
  StorageRef() = default;
  explicit StorageRef(Storage* adopted) : storage_(adopted) {}
  StorageRef(const StorageRef& other) noexcept : storage_(other.storage_) {
    if (storage_ != nullptr) storage_->references.fetch_add(1, std::memory_order_relaxed);
  }
  StorageRef(StorageRef&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
  StorageRef& operator=(StorageRef other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~StorageRef() {
    if (storage_ != nullptr && storage_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      destroy(storage_);
  }
  Storage* operator->() const { return storage_; }
  Storage* get() const { return storage_; }

 private:
  static void destroy(Storage* storage) noexcept;  // runs the release hook, or gives the block back
  Storage* storage_ = nullptr;
};

// The caching allocator as kernels see it, who need memory for the time of one op.
class ScratchSource {
 public:
  virtual Storage* allocate(std::size_t bytes) = 0;
  virtual void deallocate(Storage* block) noexcept = 0;

 protected:
  ~ScratchSource() = default;
};

}  // namespace needle
