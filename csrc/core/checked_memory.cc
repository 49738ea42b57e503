// Checked mode of the allocator: poison and guard bands, in host memory directly and elsewhere
// through copies.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "allocator.h"
#include "errors.h"
#include "ndarray.h"

namespace needle {
namespace {

constexpr std::size_t kMostGuardBytes =
    4096;  // a guard band fills the rest of its block up to this size

// 0xFFF5 repeated: a NaN in every float type, so that reading a guard shows; yet neither the poison
// nor a value that kernels write, so that writing shows too.
constexpr auto kPattern = [] {
  std::array<unsigned char, kMostGuardBytes + 2> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = i % 2 == 0 ? 0xF5 : 0xFF;
  return bytes;
}();

// The pattern as it should stand at an offset from the (aligned) start of the data.
const unsigned char* pattern_at(std::ptrdiff_t offset) { return kPattern.data() + (offset & 1); }

void write(Backend& backend, void* to, const void* from, std::size_t bytes) {
  if (backend.host_memory()) {
    std::memcpy(to, from, bytes);
  } else {
    backend.copy_bytes(to, from, bytes, CopyKind::to_device);
  }
}

// For its life the calling thread's stream is another one, where there are streams.
class OnStream {
 public:
  OnStream(Runtime* runtime, void* stream)
      : runtime_(runtime), outer_(runtime != nullptr ? runtime->stream() : nullptr) {
    if (runtime_ != nullptr) runtime_->set_stream(stream);
  }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;
  ~OnStream() {
    if (runtime_ != nullptr) runtime_->set_stream(outer_);
  }

 private:
  Runtime* runtime_;
  void* outer_;
};

}  // namespace

void Allocator::set_checked(bool on) { checked_.store(on, std::memory_order_relaxed); }

bool Allocator::checked() const { return checked_.load(std::memory_order_relaxed); }

Allocator::Bands Allocator::bands(const Storage& block) {
  const auto bytes = static_cast<std::ptrdiff_t>(block.bytes);
  const std::size_t rest = block.capacity - kGuardBytes - block.bytes;
  return {{{-static_cast<std::ptrdiff_t>(kGuardBytes), kGuardBytes},
           {bytes, std::min(rest, kMostGuardBytes)}}};
}

void Allocator::prepare_guarded(Storage* block) {
  block->data = static_cast<char*>(block->base) + kGuardBytes;
  for (const Band& band : bands(*block)) {
    write(*backend_, static_cast<char*>(block->data) + band.at, pattern_at(band.at), band.bytes);
  }
  backend_->fill_bytes(block->data, 0xFF, block->bytes);
  backend_->forget(block->base, block->capacity);
  const std::lock_guard lock(mutex_);
  block->guarded = true;
  block->previous = nullptr;
  block->next = guarded_;
  if (guarded_ != nullptr) guarded_->previous = block;
  guarded_ = block;
}

void Allocator::retire_guarded(Storage* block) noexcept {
  // Behind the work that still uses the block.
  const OnStream here(backend_->runtime(), block->pool->stream);
  try {
    const std::lock_guard lock(mutex_);
    block->guarded = false;
    (block->previous != nullptr ? block->previous->next : guarded_) = block->next;
    if (block->next != nullptr) block->next->previous = block->previous;
    inspect(*block, "when it was freed");
    backend_->fill_bytes(block->data, 0xFF, block->bytes);
  } catch (...) {
    // Freeing cannot fail; a device that does will say so at its next call.
  }
}

std::vector<std::string> Allocator::check_guards() {
  backend_->synchronize();  // before the lock: the backend may wait for other locks
  const std::lock_guard lock(mutex_);
  for (const Storage* block = guarded_; block != nullptr; block = block->next)
    inspect(*block, "while in use");
  return std::exchange(damage_, {});
}

void Allocator::inspect(const Storage& block, const char* when) {
  std::array<unsigned char, kMostGuardBytes> copy;
  for (const Band& band : bands(block)) {
    auto* start = static_cast<unsigned char*>(block.data) + band.at;
    const unsigned char* seen = start;
    if (!backend_->host_memory()) {
      backend_->copy_bytes(copy.data(), start, band.bytes, CopyKind::to_host);
      seen = copy.data();
    }
    const unsigned char* expected = pattern_at(band.at);
    if (std::memcmp(seen, expected, band.bytes) == 0) continue;
    std::ptrdiff_t first = 0;
    while (seen[first] == expected[first]) ++first;
    damage_.push_back(message("allocator", "a guard band was overwritten", "device",
                              device_->repr(), "noticed", when, "block_bytes", block.bytes,
                              "first_byte_at", band.at + first));
    write(*backend_, start, expected, band.bytes);  // report each damage once
  }
}

}  // namespace needle
