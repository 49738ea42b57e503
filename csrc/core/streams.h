// Stream, Event and Graph: the device's work queues as users hold them.
#pragma once

#include <atomic>
#include <memory>

#include "ndarray.h"

namespace needle {

class Event;

// A device's stream, held by its Stream and by every thread that has entered it: dropped while
// entered, it is used until the thread is out of it.
struct Queue {
  explicit Queue(Device& device);
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  Device& device;
  void* handle;
  std::atomic<bool> dropped = false;  // by its Stream: nobody can leave it any more
};

// A queue of work. Between enter and leave the calling thread's work on the device goes to it. A
// Stream that is dropped between them is left where it would be the next to be left.
class Stream {
 public:
  explicit Stream(Device& device);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  void enter();
  void leave();
  void synchronize();
  void wait(const Event& event);  // what is queued from now on waits for it
  void* handle() const { return queue_->handle; }

 private:
  std::shared_ptr<Queue> queue_;
};

// A point in a stream's work.
class Event {
 public:
  explicit Event(Device& device);
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void record();                    // in the calling thread's stream
  void synchronize();               // nothing to wait for before it is recorded
  bool query();                     // whether the work before it is done
  double elapsed_ms(Event& later);  // waits for both

 private:
  friend class Stream;
  void require_recorded(const char* op) const;

  Device& device_;
  void* handle_;
  bool recorded_ = false;
};

// Work that is captured once and replayed: its memory, and the arrays that it reads and writes,
// live as long as it does.
class Graph {
 public:
  explicit Graph(Device& device);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  void begin();
  void end();
  void abandon() noexcept;
  // While it is captured: an array beside the graph's own memory, which earlier work of a replay
  // uses for something else.
  NDArray empty(const Dims& shape, DType dtype);
  void await_last();  // what is queued from now on waits for the last replay
  void replay();      // in the calling thread's stream

 private:
  bool captured_here() const { return capturing_ && runtime_.stream() == stream_; }

  Device& device_;
  Runtime& runtime_;
  void* stream_;
  void* outer_ = nullptr;  // the stream before begin
  bool capturing_ = false;
  void* captured_ = nullptr;
  void* replayed_ = nullptr;  // an event after the last replay
};

// The device's runtime; RuntimeError where it has none.
Runtime& require_runtime(const char* op, const Device& device);
// RuntimeError while the calling thread captures a graph.
void forbid_in_capture(std::string_view op, const char* what, const Runtime& runtime);
// The same for a copy between the host and a device; none where the device has no graphs.
void forbid_copy_in_capture(std::string_view op, const Device& device, CopyKind kind);

}  // namespace needle
