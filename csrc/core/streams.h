// Stream, Event and Graph: the device's work queues as users hold them.
#pragma once

#include "ndarray.h"

namespace needle {

class Event;

// A queue of work. Between enter and leave the calling thread's work on the device goes to it.
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
  void* handle() const { return handle_; }

 private:
  Device& device_;
  void* handle_;
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
  void await_last();  // what is queued from now on waits for the last replay
  void replay();      // in the calling thread's stream

 private:
  Device& device_;
  Runtime& runtime_;
  void* stream_;
  void* outer_ = nullptr;  // the stream before begin
  void* captured_ = nullptr;
  void* replayed_ = nullptr;  // an event after the last replay
};

// The device's runtime; RuntimeError where it has none.
Runtime& require_runtime(const char* op, const Device& device);
// RuntimeError while the calling thread captures a graph.
void forbid_in_capture(const char* op, const char* what, const Runtime& runtime);

}  // namespace needle
