// Shared memory of the running block: the dynamic part first, then the kernel's objects in the
// order of their first use. Each is filled with 0xFF bytes (NaN) when a block begins and is
// followed by a guard band of the same bytes.
#include <cuda_runtime.h>

#include <vector>

#include "checker.h"
#include "runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) static_cast<void>(0)
#endif

namespace needle_sim {
namespace {

constexpr std::size_t kGuard = 64;
constexpr int kPoison = 0xff;

struct Object {
  const void* key;  // nullptr: the dynamic part
  std::size_t offset, bytes;
};

alignas(128) unsigned char arena[kSharedArena];
std::vector<Object> objects;
std::size_t dynamic_size = 0, used = 0;

void* add(const void* key, std::size_t bytes) {
  objects.push_back({key, used, bytes});
  unsigned char* start = arena + used;
  ASAN_UNPOISON_MEMORY_REGION(start, bytes + kGuard);
  std::memset(start, kPoison, bytes + kGuard);
  ASAN_POISON_MEMORY_REGION(start + bytes, kGuard);
  used += (bytes + 2 * kGuard - 1) / kGuard * kGuard;
  return start;
}

}  // namespace

void open_shared_memory(std::size_t dynamic_bytes) {
  dynamic_size = dynamic_bytes;
  objects.clear();  // a launch that failed has left its own
}

void begin_shared_memory() {
  objects.clear();
  used = 0;
  ASAN_POISON_MEMORY_REGION(arena, sizeof arena);
  if (dynamic_size > 0) add(nullptr, dynamic_size);
}

std::string check_shared_memory() {
  for (const Object& object : objects) {
    const unsigned char* guard = arena + object.offset + object.bytes;
    ASAN_UNPOISON_MEMORY_REGION(guard, kGuard);
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (guard[i] == kPoison) continue;
      return "shared memory written " + std::to_string(i) + " bytes past the end of an object of " +
             std::to_string(object.bytes) + " bytes";
    }
  }
  return "";
}

bool in_shared_memory(const void* address) {
  return static_cast<std::size_t>(static_cast<const unsigned char*>(address) - arena) <
         sizeof arena;
}

SharedObject shared_object_at(const void* address) {
  const auto at = static_cast<std::size_t>(static_cast<const unsigned char*>(address) - arena);
  for (const Object& object : objects) {
    if (at - object.offset < object.bytes)
      return {arena + object.offset, object.bytes, object.offset};
  }
  return {};
}

void* dynamic_shared_memory() { return arena; }

void* shared_object(const void* key, std::size_t bytes, std::size_t alignment) {
  const Outside simulator;
  for (const Object& object : objects) {
    if (object.key == key) return arena + object.offset;
  }
  const std::size_t dynamic_end = objects.empty() ? 0 : dynamic_size;
  if (alignment > kGuard) fail("shared memory: an alignment above 64 bytes");
  if (used - dynamic_end + bytes > kSharedMemory + 1024) {
    fail("shared memory: static objects of more than 48 KiB");
  }
  return add(key, bytes);
}

}  // namespace needle_sim
