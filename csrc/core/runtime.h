// Runtime: the streams, events and graphs of a device whose work is queued. Handles are opaque, the
// stream nullptr is the default one: the legacy stream of CUDA, which is torch's default too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace needle {

struct DeviceProperties {
  std::string name;
  int major, minor;  // compute capability
  int multiprocessors;
};

struct MemoryRoom {
  std::int64_t free_bytes, total_bytes;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  virtual DeviceProperties properties() = 0;
  virtual MemoryRoom room() = 0;
  // The index of the device that an address belongs to; -1 for addresses that are no device's.
  virtual int owner(const void* address) = 0;
  // Between devices of one kind, in the order of both devices' streams.
  virtual void copy_from(Runtime& source_device, void* dst, const void* src, std::size_t bytes) = 0;

  // --- streams. Those of users wait for the default stream and it for them; those that capture
  // stand alone. A recycled handle stays valid, and later streams may get it.
  virtual void* create_stream(bool for_capture) = 0;
  virtual void recycle_stream(void* stream, bool for_capture) noexcept = 0;
  virtual void* stream() const noexcept = 0;  // the calling thread's
  virtual void set_stream(void* stream) noexcept = 0;
  virtual void synchronize_stream(void* stream) = 0;
  // What is queued on `later` from now on waits for what `earlier` holds now.
  virtual void order(void* later, void* earlier) = 0;

  // --- events
  virtual void* create_event() = 0;
  virtual void destroy_event(void* event) noexcept = 0;
  virtual void record_event(void* event, void* stream) = 0;
  virtual void wait_for_event(void* stream, void* event) = 0;
  virtual bool event_done(void* event) = 0;
  virtual void synchronize_event(void* event) = 0;
  virtual double milliseconds(void* from, void* to) = 0;  // both are done

  // --- graphs: between begin and end, work of the calling thread on the stream is recorded, not
  // done
  virtual void begin_capture(void* stream) = 0;
  virtual void* end_capture(void* stream) = 0;  // what replay takes
  virtual bool capturing() const noexcept = 0;  // the calling thread
  virtual void replay(void* graph, void* stream) = 0;
  virtual void destroy_graph(void* graph) noexcept = 0;
};

}  // namespace needle
