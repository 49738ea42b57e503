#include "streams.h"

#include <vector>

namespace needle {
namespace {

struct Entered {
  std::shared_ptr<const Queue> queue;
  void* outer;
};
thread_local std::vector<Entered> entered;  // the calling thread's, innermost last

Runtime& runtime_of(const Queue& queue) { return *queue.device.backend->runtime(); }

void leave_innermost() {
  runtime_of(*entered.back().queue).set_stream(entered.back().outer);
  entered.pop_back();
}

// Leaves streams that were dropped, from the innermost on; not while a graph is captured, whose
// stream stays the current one.
void leave_dropped() {
  while (!entered.empty() && entered.back().queue->dropped &&
         !runtime_of(*entered.back().queue).capturing()) {
    leave_innermost();
  }
}

void require_one_device(const char* op, const Device& a, const Device& b) {
  if (&a == &b) return;
  throw std::invalid_argument(
      message(op, "both must be of one device", "device", a.repr(), "other", b.repr()));
}

}  // namespace

Runtime& require_runtime(const char* op, const Device& device) {
  Runtime* const runtime = device.backend->runtime();
  if (runtime != nullptr) return *runtime;
  throw std::runtime_error(
      message(op, "only CUDA devices have it: elsewhere work is done when a call returns", "device",
              device.repr()));
}

void forbid_in_capture(std::string_view op, const char* what, const Runtime& runtime) {
  if (!runtime.capturing()) return;
  throw std::runtime_error(
      message(op, std::string(what) + " while a graph is captured: do it before or after"));
}

void forbid_copy_in_capture(std::string_view op, const Device& device, CopyKind kind) {
  const Runtime* const runtime = device.backend->runtime();
  if (runtime == nullptr || !runtime->capturing()) return;
  throw std::runtime_error(message(
      op,
      kind == CopyKind::to_host
          ? "there are no values while a graph is captured: read them after a replay"
          : "a graph would be captured with the host's values of now: make the array before, and "
            "write to it with x[...] = value"));
}

Queue::Queue(Device& of) : device(of), handle(require_runtime("stream", of).create_stream(false)) {}

Queue::~Queue() { runtime_of(*this).recycle_stream(handle, false); }

Stream::Stream(Device& device) : queue_(std::make_shared<Queue>(device)) {
  device.allocator.track_streams();
}

Stream::~Stream() {
  queue_->dropped = true;
  leave_dropped();
}

void Stream::enter() {
  Runtime& runtime = runtime_of(*queue_);
  forbid_in_capture("stream", "another stream cannot be entered", runtime);
  leave_dropped();
  entered.push_back({queue_, runtime.stream()});
  runtime.set_stream(handle());
}

void Stream::leave() {
  forbid_in_capture("stream", "a stream cannot be left", runtime_of(*queue_));
  leave_dropped();
  if (entered.empty() || entered.back().queue != queue_) {
    throw std::runtime_error(message("stream", "the stream entered last is left first"));
  }
  leave_innermost();
  leave_dropped();
}

void Stream::synchronize() {
  Runtime& runtime = runtime_of(*queue_);
  forbid_in_capture("synchronize", "nothing can be waited for", runtime);
  runtime.synchronize_stream(handle());
}

void Stream::wait(const Event& event) {
  event.require_recorded("wait");
  Runtime& runtime = runtime_of(*queue_);
  forbid_in_capture("wait", "nothing can be waited for", runtime);
  runtime.wait_for_event(handle(), event.handle_);
}

Event::Event(Device& device) : device_(device) {
  handle_ = require_runtime("event", device).create_event();
}

Event::~Event() { device_.backend->runtime()->destroy_event(handle_); }

void Event::record() {
  Runtime& runtime = *device_.backend->runtime();
  forbid_in_capture("record", "an event cannot be recorded", runtime);
  runtime.record_event(handle_, runtime.stream());
  recorded_ = true;
}

void Event::synchronize() {
  require_recorded("synchronize");
  Runtime& runtime = *device_.backend->runtime();
  forbid_in_capture("synchronize", "nothing can be waited for", runtime);
  runtime.synchronize_event(handle_);
}

bool Event::query() {
  require_recorded("query");
  Runtime& runtime = *device_.backend->runtime();
  forbid_in_capture("query", "an event cannot be asked", runtime);
  return runtime.event_done(handle_);
}

double Event::elapsed_ms(Event& later) {
  require_one_device("elapsed_ms", device_, later.device_);
  synchronize();
  later.synchronize();
  return device_.backend->runtime()->milliseconds(handle_, later.handle_);
}

void Event::require_recorded(const char* op) const {
  if (!recorded_)
    throw std::runtime_error(message(op, "the event has not been recorded (use .record())"));
}

Graph::Graph(Device& device)
    : device_(device),
      runtime_(require_runtime("graph", device)),
      stream_(runtime_.create_stream(true)) {}

Graph::~Graph() {
  if (capturing_) {
    if (!captured_here()) return;  // another thread still captures: nothing can be taken from it
    abandon();
  }
  if (captured_ != nullptr) {
    try {
      if (replayed_ != nullptr) runtime_.synchronize_event(replayed_);
    } catch (...) {
      // Nothing runs on a device that has failed.
    }
    if (replayed_ != nullptr) runtime_.destroy_event(replayed_);
    runtime_.destroy_graph(captured_);
    device_.allocator.unreserve(stream_);
  }
  runtime_.recycle_stream(stream_, true);
}

void Graph::begin() {
  forbid_in_capture("graph", "another graph cannot be captured", runtime_);
  if (captured_ != nullptr)
    throw std::runtime_error(message("graph", "a graph is captured once: make another one"));
  device_.allocator.reserve(stream_);
  outer_ = runtime_.stream();
  try {
    runtime_.begin_capture(stream_);
  } catch (...) {
    device_.allocator.unreserve(stream_);
    throw;
  }
  runtime_.set_stream(stream_);
  capturing_ = true;
}

void Graph::end() {
  if (!captured_here())
    throw std::runtime_error(message("graph", "a capture ends in the thread that began it"));
  capturing_ = false;
  runtime_.set_stream(outer_);
  try {
    captured_ = runtime_.end_capture(stream_);
  } catch (...) {
    device_.allocator.unreserve(stream_);
    throw;
  }
}

void Graph::abandon() noexcept {
  try {
    end();
    runtime_.destroy_graph(captured_);
    device_.allocator.unreserve(stream_);
  } catch (...) {
    // What broke the capture is already on its way to the user.
  }
  captured_ = nullptr;
}

NDArray Graph::empty(const Dims& shape, DType dtype) {
  runtime_.set_stream(outer_);
  try {
    NDArray made = NDArray::empty(shape, dtype, device_);
    runtime_.set_stream(stream_);
    return made;
  } catch (...) {
    runtime_.set_stream(stream_);
    throw;
  }
}

void Graph::await_last() {
  if (replayed_ != nullptr) runtime_.wait_for_event(runtime_.stream(), replayed_);
}

void Graph::replay() {
  if (captured_ == nullptr)
    throw std::runtime_error(message("replay", "nothing has been captured (use `with graph:`)"));
  forbid_in_capture("replay", "a graph cannot be replayed", runtime_);
  void* const stream = runtime_.stream();
  device_.allocator.note_replay(stream_, stream);
  runtime_.replay(captured_, stream);
  if (replayed_ == nullptr) replayed_ = runtime_.create_event();
  runtime_.record_event(replayed_, stream);
}

}  // namespace needle
