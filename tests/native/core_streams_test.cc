// The allocator between streams: a freed block's stream waits for the others that have used it, and
// a graph keeps what it has touched. The runtime only writes down what it is told.
#include <thread>

#include "../../csrc/core/streams.h"
#include "reference_backend.h"

using namespace needle;
using namespace needle_test;

namespace {

void* handle(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

class LoggingRuntime final : public Runtime {
 public:
  std::vector<std::pair<void*, void*>> orders;  // later, earlier
  std::uintptr_t made = 0;
  int recycled = 0;

  DeviceProperties properties() override { return {"logged", 0, 0, 0}; }
  MemoryRoom room() override { return {1, 2}; }
  int owner(const void*) override { return -1; }
  void copy_from(Runtime&, void*, const void*, std::size_t) override {}
  void* create_stream(bool) override { return handle(++made); }
  void recycle_stream(void*, bool) noexcept override { ++recycled; }
  void* stream() const noexcept override { return current_; }
  void set_stream(void* stream) noexcept override { current_ = stream; }
  void synchronize_stream(void*) override {}
  void order(void* later, void* earlier) override { orders.emplace_back(later, earlier); }
  void* create_event() override { return this; }
  void destroy_event(void*) noexcept override {}
  void record_event(void*, void*) override {}
  void wait_for_event(void*, void*) override {}
  bool event_done(void*) override { return true; }
  void synchronize_event(void*) override {}
  double milliseconds(void*, void*) override { return 0; }
  void begin_capture(void*) override { capturing_ = true; }
  void* end_capture(void*) override {
    capturing_ = false;
    return this;
  }
  bool capturing() const noexcept override { return capturing_; }
  void replay(void*, void*) override {}
  void destroy_graph(void*) noexcept override {}

 private:
  void* current_ = nullptr;
  bool capturing_ = false;
};

class QueuedBackend final : public ReferenceBackend {
 public:
  LoggingRuntime log;
  Runtime* runtime() noexcept override { return &log; }
};

using Orders = std::vector<std::pair<void*, void*>>;

void blocks_wait_for_their_users() {
  QueuedBackend backend;
  Device device("test", 0, &backend);
  device.allocator.set_checked(false);
  Stream first(device), second(device);
  {
    NDArray a = NDArray::empty({100}, DType::float32, device);
    first.enter();
    a.view();
    a.view();
    second.enter();
    a.view();
    second.leave();
    first.leave();
    a.view();
    CHECK(backend.log.orders.empty());
  }
  CHECK((backend.log.orders == Orders{{nullptr, handle(1)}, {nullptr, handle(2)}}));
  backend.log.orders.clear();
  const void* place = nullptr;
  {
    first.enter();
    NDArray a = NDArray::empty({100}, DType::float32, device);  // not the default stream's block
    place = a.data();
    first.leave();
    a.view();
  }
  CHECK((backend.log.orders == Orders{{handle(1), nullptr}}));
  CHECK(NDArray::empty({100}, DType::float32, device).data() != place);
  first.enter();
  CHECK(NDArray::empty({100}, DType::float32, device).data() == place);
  first.leave();
}

void graphs_keep_what_they_touch() {
  QueuedBackend backend;
  Device device("test", 0, &backend);
  Allocator& allocator = device.allocator;
  allocator.set_checked(false);
  {
    Graph graph(device);
    {
      NDArray touched = NDArray::empty({100}, DType::float32, device);
      NDArray other = NDArray::empty({200}, DType::float32, device);
      graph.begin();
      touched.view();
      NDArray::empty({300}, DType::float32, device).view();
      graph.end();
    }
    CHECK(allocator.stats().live_bytes == 400);  // touched
    allocator.empty_cache();
    CHECK(allocator.stats().cached_bytes >= 1200);  // the graph's own is not given back
    const std::int64_t hits = allocator.stats().cache_hits;
    NDArray::empty({300}, DType::float32, device);
    CHECK(allocator.stats().cache_hits == hits);
    // Foreign memory that goes while a graph is captured goes with the graph.
    float memory[4];
    bool released = false;
    {
      Graph second(device);
      second.begin();
      NDArray::foreign(memory, {4}, {1}, DType::float32, device, true, [&] { released = true; });
      second.end();
      CHECK(!released);
    }
    CHECK(released);
  }
  CHECK(allocator.stats().live_bytes == 0);
  allocator.empty_cache();
  CHECK(allocator.stats().cached_bytes == 0 && backend.held == 0);
}

// A stream that is dropped while it is entered is left where it would be the next one.
void dropped_streams() {
  QueuedBackend backend;
  Device device("test", 0, &backend);
  auto outer = std::make_unique<Stream>(device), inner = std::make_unique<Stream>(device);
  outer->enter();
  inner->enter();
  inner.reset();
  CHECK(backend.log.stream() == outer->handle());
  inner = std::make_unique<Stream>(device);
  CHECK_THROWS(std::runtime_error, "[stream] the stream entered last", inner->leave());
  inner->enter();
  outer.reset();
  CHECK(backend.log.stream() == inner->handle());
  inner->leave();
  CHECK(backend.log.stream() == nullptr);
  {
    auto before = std::make_unique<Stream>(device);
    before->enter();
    Graph graph(device);
    graph.begin();
    void* const captured = backend.log.stream();
    before.reset();
    CHECK(backend.log.stream() == captured);
    graph.end();
    inner->enter();
    inner->leave();
    CHECK(backend.log.stream() == nullptr);
  }
  std::thread([&] {
    Stream left_entered(device);
    left_entered.enter();
  }).join();
  CHECK(backend.log.recycled == 5);  // three above, the thread's, and the graph's
}

void dropped_graphs() {
  QueuedBackend backend;
  Device device("test", 0, &backend);
  auto graph = std::make_unique<Graph>(device);
  graph->begin();
  graph.reset();
  CHECK(!backend.log.capturing() && backend.log.stream() == nullptr);
  CHECK(backend.log.recycled == 1);
}

void errors() {
  QueuedBackend backend;
  Device device("test", 0, &backend);
  ReferenceBackend plain;
  Device host("plain", 0, &plain);
  CHECK_THROWS(std::runtime_error, "[graph] only CUDA devices have it", Graph{host});
  Event a(device), b(device);
  CHECK_THROWS(std::runtime_error, "[query] the event has not been recorded", a.query());
  a.record();
  CHECK_THROWS(std::runtime_error, "[synchronize] the event has not", a.elapsed_ms(b));
  backend.room = 0;
  CHECK_THROWS(OutOfMemory, "device_free_bytes=1, device_total_bytes=2",
               NDArray::empty({100}, DType::float32, device));
  Graph graph(device);
  CHECK_THROWS(std::runtime_error, "[replay] nothing has been captured", graph.replay());
  graph.begin();
  CHECK_THROWS(std::runtime_error, "[record] an event cannot be recorded while a graph",
               b.record());
  graph.abandon();
  CHECK_THROWS(std::runtime_error, "[replay] nothing has been captured", graph.replay());
}

}  // namespace

int main() {
  blocks_wait_for_their_users();
  dropped_streams();
  dropped_graphs();
  graphs_keep_what_they_touch();
  errors();
  return summary("core_streams_test");
}
