// CudaRuntime: streams, events and graphs of one CUDA device, and which devices there are.
#pragma once

#include <mutex>
#include <vector>

#include "../core/runtime.h"
#include "launch.cuh"

namespace NEEDLE_NS {

class CudaRuntime final : public needle::Runtime {
 public:
  explicit CudaRuntime(int device) : device_(device) {}

  // Where an op's work is queued; makes the device the calling thread's. RuntimeError in a process
  // that was forked after CUDA had been used: its driver works in the parent alone.
  Stream stream_for(const char* op) const;
  // RuntimeError while the calling thread captures a graph.
  void forbid_in_capture(const char* op, const char* what) const;

  needle::DeviceProperties properties() override;
  needle::MemoryRoom room() override;
  int owner(const void* address) override;
  void copy_from(Runtime& source_device, void* dst, const void* src, std::size_t bytes) override;

  void* create_stream(bool for_capture) override;
  void recycle_stream(void* stream, bool for_capture) noexcept override;
  void* stream() const noexcept override;
  void set_stream(void* stream) noexcept override;
  void synchronize_stream(void* stream) override;
  void order(void* later, void* earlier) override;

  void* create_event() override;
  void destroy_event(void* event) noexcept override;
  void record_event(void* event, void* stream) override;
  void wait_for_event(void* stream, void* event) override;
  bool event_done(void* event) override;
  void synchronize_event(void* event) override;
  double milliseconds(void* from, void* to) override;

  void begin_capture(void* stream) override;
  void* end_capture(void* stream) override;
  bool capturing() const noexcept override;
  void replay(void* graph, void* stream) override;
  void destroy_graph(void* graph) noexcept override;

  needle::ScratchSource* scratch = nullptr;
  bool checked = false;

 private:
  void follow(CudaRuntime& other);

  int device_;
  std::mutex mutex_;
  std::vector<void*> idle_[2];  // streams that nobody holds: of users, for capture
};

}  // namespace NEEDLE_NS
