// The allocator: reuse, statistics, limits, checked mode (in host memory and in memory that the
// host cannot touch), and foreign storage.
#include <chrono>
#include <thread>

#include "reference_backend.h"

using namespace needle;
using namespace needle_test;

namespace {

void reuse_and_statistics() {
  ReferenceBackend backend;
  Device device("test", 0, &backend);
  Allocator& allocator = device.allocator;
  allocator.set_checked(false);
  Storage* a = allocator.allocate(1000);
  Storage* b = allocator.allocate(0);
  Storage* c = allocator.allocate(0);
  CHECK(b->data != nullptr && b->data != c->data && b->data != a->data);
  CHECK(a->device == &device && a->bytes == 1000 && a->references == 1 && a->writable);
  CHECK(allocator.stats().live_bytes == 1000 && allocator.stats().live_blocks == 3);
  void* const data = a->data;
  a->writable = false;
  allocator.deallocate(a);
  CHECK(allocator.stats().live_bytes == 0 && allocator.stats().cached_bytes >= 1000);
  a = allocator.allocate(990);
  CHECK(a->data == data && a->bytes == 990 && a->writable);
  AllocatorStats stats = allocator.stats();
  CHECK(stats.cache_hits == 1 && stats.allocations == 4 && stats.peak_bytes == 1000 &&
        stats.cached_bytes == 0);
  allocator.reset_peak();
  CHECK(allocator.stats().peak_bytes == 990);
  for (Storage* block : {a, b, c}) allocator.deallocate(block);
  CHECK(backend.held > 0);
  allocator.empty_cache();
  stats = allocator.stats();
  CHECK(backend.held == 0 && stats.cached_bytes == 0 && stats.live_blocks == 0);

  // Every size: aligned, large enough (the sanitizer sees the last byte), not much larger than
  // asked for.
  for (std::size_t bytes = 1; bytes < 200000; bytes += 1 + bytes / 37) {
    Storage* block = allocator.allocate(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(block->data) % 64 == 0);
    std::memset(block->data, 1, bytes);
    CHECK(backend.held >= bytes && backend.held <= bytes + std::max<std::size_t>(bytes / 4, 64));
    allocator.deallocate(block);
    allocator.empty_cache();
  }
}

void limits() {
  ReferenceBackend backend;
  Device device("test", 0, &backend);
  Allocator& allocator = device.allocator;
  allocator.set_checked(false);
  backend.room = 1 << 20;
  allocator.deallocate(allocator.allocate(600 << 10));
  Storage* block = allocator.allocate(700 << 10);  // only once the cache has been emptied
  CHECK_THROWS(OutOfMemory,
               "[allocate] no memory left on test(), got bytes=716801, live_bytes=716800",
               allocator.allocate((700 << 10) + 1));
  CHECK(allocator.stats().live_blocks == 1 && allocator.stats().allocations == 2);
  allocator.deallocate(block);

  const int before = backend.raw_allocations;
  for (const std::size_t bytes : {std::size_t{1} << 47, std::size_t{1} << 48, ~std::size_t{0}}) {
    CHECK_THROWS(OutOfMemory, "[allocate] no memory left", allocator.allocate(bytes));
    allocator.set_checked(!allocator.checked());
  }
  CHECK(backend.raw_allocations == before);
  CHECK_THROWS(OutOfMemory, "[allocate]", NDArray::empty({1ll << 45}, DType::float32, device));
  CHECK(allocator.stats().live_blocks == 0);

  // Sizes that never come back do not pile up.
  backend.room = std::numeric_limits<std::size_t>::max();
  allocator.set_checked(false);
  for (std::size_t i = 0; i < 400; ++i) {
    allocator.deallocate(allocator.allocate((1 << 20) << (i % 5)));
    allocator.deallocate(allocator.allocate((1 << 20) + i * (1 << 18)));
  }
  CHECK(backend.held < 500u << 20);
  CHECK(backend.raw_allocations - before < 200);
}

// Bytes of device memory, as the host sees them.
unsigned char* bytes_of(const ReferenceBackend& backend, const Storage* block) {
  return static_cast<unsigned char*>(backend.near(block->data));
}

void checked_mode(bool host) {
  ReferenceBackend backend(host);
  Device device("test", 0, &backend);
  Allocator& allocator = device.allocator;
  allocator.set_checked(true);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{1000}, std::size_t{100000}}) {
    Storage* block = allocator.allocate(bytes);
    unsigned char* data = bytes_of(backend, block);
    CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
    for (std::size_t i = 0; i < bytes; ++i) {
      if (data[i] != 0xFF) CHECK(data[i] == 0xFF);
    }
    CHECK(allocator.check_guards().empty());
    std::memset(data, 7, bytes);
    allocator.deallocate(block);
    CHECK(allocator.check_guards().empty());
    // Freed memory is poisoned before it is cached: the whole block, taken again without guards,
    // shows it.
    allocator.set_checked(false);
    block = allocator.allocate(bytes + 512);
    CHECK(bytes_of(backend, block) + 256 == data);
    for (std::size_t i = 0; i < bytes; ++i) {
      if (data[i] != 0xFF) CHECK(data[i] == 0xFF);
    }
    allocator.deallocate(block);
    allocator.set_checked(true);
  }
  for (const std::int64_t at : {-64, -1, 100, 101, 163, 170}) {
    Storage* block = allocator.allocate(100);
    Storage* other = allocator.allocate(100);
    bytes_of(backend, block)[at] = 0;
    std::vector<std::string> damage = allocator.check_guards();
    CHECK(damage.size() == 1);
    CHECK(damage.at(0) ==
          "[allocator] a guard band was overwritten, got device=test(), noticed=while in use, "
          "block_bytes=100, first_byte_at=" +
              std::to_string(at));
    CHECK(allocator.check_guards().empty());  // reported once
    bytes_of(backend, block)[at] = 0;
    allocator.deallocate(block);
    damage = allocator.check_guards();
    CHECK(damage.size() == 1 && damage[0].find("noticed=when it was freed") != std::string::npos);
    allocator.deallocate(other);
    CHECK(allocator.check_guards().empty());
  }
  // A guard is a NaN in every float type, wherever the block ends.
  for (const std::size_t bytes : {std::size_t{63}, std::size_t{64}}) {
    Storage* block = allocator.allocate(bytes);
    float wide;
    double wider;
    std::memcpy(&wide, bytes_of(backend, block) + 64, sizeof wide);
    std::memcpy(&wider, bytes_of(backend, block) + 64, sizeof wider);
    CHECK(std::isnan(wide) && std::isnan(wider));
    allocator.deallocate(block);
  }
  // Even the poison, copied past an end, shows.
  Storage* spilled = allocator.allocate(64);
  std::memset(bytes_of(backend, spilled) + 64, 0xFF, 4);
  allocator.deallocate(spilled);
  CHECK(allocator.check_guards().size() == 1);
  // A guarded block may be freed after the mode ends.
  Storage* block = allocator.allocate(64);
  allocator.set_checked(false);
  Storage* plain = allocator.allocate(64);
  bytes_of(backend, block)[64] = 1;
  allocator.deallocate(plain);
  allocator.deallocate(block);
  CHECK(allocator.check_guards().size() == 1);
  CHECK(allocator.stats().live_blocks == 0);

  setenv("NEEDLE_CHECKED", "1", 1);
  CHECK(Device("test", 1, &backend).allocator.checked());
  setenv("NEEDLE_CHECKED", "0", 1);
  CHECK(!Device("test", 1, &backend).allocator.checked());
  setenv("NEEDLE_CHECKED", "", 1);
  CHECK(!Device("test", 1, &backend).allocator.checked());
  setenv("NEEDLE_CHECKED", "yes", 1);
  CHECK_THROWS(std::invalid_argument, "a switch is 0 or 1, got NEEDLE_CHECKED=yes",
               Device("test", 1, &backend));
  unsetenv("NEEDLE_CHECKED");
}

void many_threads() {
  ReferenceBackend backend;
  Device device("test", 0, &backend);
  std::vector<Storage*>
      blocks;  // put into the cache first: the backend's own counters are not synchronised
  for (int i = 0; i < 4 * 8; ++i) blocks.push_back(device.allocator.allocate(256));
  for (Storage* block : blocks) device.allocator.deallocate(block);
  std::vector<std::thread> threads;
  std::atomic<int> mixed_up = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int round = 0; round < 2000; ++round) {
        Storage* mine[8];
        for (Storage*& block : mine) {
          block = device.allocator.allocate(256);
          std::memset(block->data, t, 256);
        }
        for (Storage* block : mine) {
          if (static_cast<char*>(block->data)[255] != t) ++mixed_up;
          device.allocator.deallocate(block);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(mixed_up == 0);
  CHECK(device.allocator.stats().live_blocks == 0 && backend.raw_allocations == 32);
}

void foreign_storage() {
  ReferenceBackend backend;
  Device device("test", 0, &backend);
  float memory[12];
  for (int i = 0; i < 12; ++i) memory[i] = static_cast<float>(i);
  int released = 0;
  const auto release = [&] { ++released; };
  {
    // Rows from the last to the first: the storage starts below the first element.
    const NDArray a =
        NDArray::foreign(memory + 8, {3, 4}, {-4, 1}, DType::float32, device, false, release);
    CHECK(a.data() == memory + 8 && a.offset() == 8 && a.storage()->data == memory &&
          a.storage()->bytes == 48);
    const NDArray view = a.index({});
    CHECK(static_cast<float*>(view.flip({0}).compact().data())[0] == 0.0f);
    CHECK_THROWS(std::invalid_argument, "[fill] read-only", NDArray(a).fill(Scalar{0, 0, true}));
    CHECK_THROWS(std::invalid_argument, "[setitem] read-only", NDArray(a).assign(a));
    CHECK_THROWS(std::invalid_argument, "[as_strided]", a.as_strided({13}, {1}, 0));
    CHECK(a.as_strided({12}, {1}, 0).is_compact() && released == 0);
  }
  CHECK(released == 1);
  {
    NDArray::foreign(nullptr, {0, 5}, {1ll << 62, 1ll << 62}, DType::float32, device, true, release)
        .flip({0, 1});
  }
  CHECK(released == 2);
  const auto refuse = [&](void* data, const Dims& shape, const Dims& strides, const char* text) {
    CHECK_THROWS(std::invalid_argument, text,
                 NDArray::foreign(data, shape, strides, DType::float32, device, true, release));
  };
  refuse(reinterpret_cast<char*>(memory) + 1, {2}, {1}, "[foreign] memory must be aligned");
  refuse(nullptr, {2}, {1}, "[foreign]");
  refuse(memory, {2}, {1, 1}, "[foreign] shape and strides");
  refuse(memory, {-2}, {1}, "[foreign] sizes must not be negative");
  refuse(memory, {4, 2}, {1ll << 61, 1}, "[foreign]");
  refuse(memory, {4, 2}, {std::numeric_limits<std::int64_t>::min(), 1}, "[foreign]");
  refuse(memory, {1 << 20, 1 << 20}, {1ll << 57, -(1ll << 57)}, "[foreign]");
  CHECK(released == 2);
}

void registry() {
  static ReferenceBackend backend;
  Device& first = register_device("reference", 0, &backend);
  Device& second = register_device("reference", 1, &backend);
  CHECK(first.repr() == "reference()" && second.repr() == "reference(1)");
  CHECK(find_device("reference", 1) == &second && find_device("reference", 2) == nullptr);
  CHECK_THROWS(std::invalid_argument, "once, got name=reference, index=1",
               register_device("reference", 1, &backend));
  CHECK_THROWS(std::invalid_argument, "[register_device]", register_device("x", -1, &backend));
  CHECK_THROWS(std::invalid_argument, "[register_device]", register_device("x", 0, nullptr));
}

void timing() {
  ReferenceBackend backend;
  Device device("test", 0, &backend);
  device.allocator.set_checked(false);
  const auto report = [](const char* what, auto&& body) {
    constexpr int rounds = 1000000;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < rounds; ++i) body();
    const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
    std::printf("%-40s %7.1f ns\n", what, spent.count() / rounds);
  };
  report("allocate + deallocate, 256 bytes",
         [&] { device.allocator.deallocate(device.allocator.allocate(256)); });
  report("NDArray::empty((8, 8)) and its end",
         [&] { NDArray::empty({8, 8}, DType::float32, device); });
  const NDArray a = NDArray::empty({8, 8}, DType::float32, device);
  report("copy of an NDArray", [&] { const NDArray b = a; });
  report("transpose", [&] { a.transpose(0, 1); });
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) {  // any argument: figures instead of tests
    timing();
    return 0;
  }
  reuse_and_statistics();
  limits();
  checked_mode(true);
  checked_mode(false);
  many_threads();
  foreign_storage();
  registry();
  return summary("core_allocator_test");
}
