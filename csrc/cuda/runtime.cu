// CudaRuntime: streams, events and graphs (core/runtime.h) by CUDA's own, a current stream for each
// thread and device.
#include <cstring>
#include <string>

#include "devices.h"
#include "runtime.h"

namespace NEEDLE_NS {
namespace {

// The calling thread's stream on each device.
struct Current {
  cudaStream_t stream;
  bool capturing;
};
thread_local Current currents[kMostDevices];

cudaStream_t to_stream(void* handle) { return static_cast<cudaStream_t>(handle); }
cudaEvent_t to_event(void* handle) { return static_cast<cudaEvent_t>(handle); }

}  // namespace

Stream CudaRuntime::stream_for(const char* op) const {
  if (forked()) throw std::runtime_error(needle::message(op, kForked));
  const Current& current = currents[device_];
  // A launch that is captured does not run: its errors show when the graph is replayed.
  const Stream s{current.stream, op, checked && !current.capturing, scratch};
  check(cudaSetDevice(device_), s);
  return s;
}

void CudaRuntime::forbid_in_capture(const char* op, const char* what) const {
  if (!capturing()) return;
  throw std::runtime_error(needle::message(op, what));
}

needle::DeviceProperties CudaRuntime::properties() {
  const Stream s = stream_for("properties");
  cudaDeviceProp found;
  check(cudaGetDeviceProperties(&found, device_), s);
  return {found.name, found.major, found.minor, found.multiProcessorCount};
}

needle::MemoryRoom CudaRuntime::room() {
  const Stream s = stream_for("memory");
  std::size_t free_bytes = 0, total_bytes = 0;
  check(cudaMemGetInfo(&free_bytes, &total_bytes), s);
  return {static_cast<std::int64_t>(free_bytes), static_cast<std::int64_t>(total_bytes)};
}

int CudaRuntime::owner(const void* address) {
  const Stream s = stream_for("pointer");
  cudaPointerAttributes found;
  check(cudaPointerGetAttributes(&found, address), s);
  const bool ours = found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
  return ours ? found.device : -1;
}

void CudaRuntime::copy_from(Runtime& source_device, void* dst, const void* src, std::size_t bytes) {
  auto& source = static_cast<CudaRuntime&>(source_device);
  constexpr char what[] = "arrays cannot be moved between devices while a graph is captured";
  forbid_in_capture("to", what);
  source.forbid_in_capture("to", what);
  follow(source);
  const Stream s = stream_for("to");
  check(cudaMemcpyPeerAsync(dst, device_, src, source.device_, bytes, s.handle), s);
  source.follow(*this);
}

// Our stream waits for that of another device, whose events it may wait for but not record.
void CudaRuntime::follow(CudaRuntime& other) {
  void* const point = other.create_event();
  other.record_event(point, other.stream());
  wait_for_event(stream(), point);
  other.destroy_event(point);
}

// --- streams

void* CudaRuntime::create_stream(bool for_capture) {
  {
    const std::lock_guard lock(mutex_);
    auto& idle = idle_[for_capture];
    if (!idle.empty()) {
      void* stream = idle.back();
      idle.pop_back();
      return stream;
    }
  }
  const Stream s = stream_for("stream");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, for_capture ? cudaStreamNonBlocking : cudaStreamDefault),
        s);
  return stream;
}

void CudaRuntime::recycle_stream(void* stream, bool for_capture) noexcept {
  const std::lock_guard lock(mutex_);
  idle_[for_capture].push_back(stream);
}

void* CudaRuntime::stream() const noexcept { return currents[device_].stream; }

void CudaRuntime::set_stream(void* stream) noexcept {
  currents[device_].stream = to_stream(stream);
}

void CudaRuntime::synchronize_stream(void* stream) {
  const Stream s = stream_for("synchronize");
  check(cudaStreamSynchronize(to_stream(stream)), s);
}

void CudaRuntime::order(void* later, void* earlier) {
  if (later == earlier) return;
  const Stream s = stream_for("order");
  cudaEvent_t point = nullptr;
  check(cudaEventCreateWithFlags(&point, cudaEventDisableTiming), s);
  cudaError_t error = cudaEventRecord(point, to_stream(earlier));
  if (error == cudaSuccess) error = cudaStreamWaitEvent(to_stream(later), point, 0);
  cudaEventDestroy(point);  // lives until it has been waited for
  check(error, s);
}

// --- events

void* CudaRuntime::create_event() {
  const Stream s = stream_for("event");
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDefault), s);
  return event;
}

void CudaRuntime::destroy_event(void* event) noexcept {
  if (forked() || cudaEventDestroy(to_event(event)) != cudaSuccess) cudaGetLastError();
}

void CudaRuntime::record_event(void* event, void* stream) {
  const Stream s = stream_for("record");
  check(cudaEventRecord(to_event(event), to_stream(stream)), s);
}

void CudaRuntime::wait_for_event(void* stream, void* event) {
  const Stream s = stream_for("wait");
  check(cudaStreamWaitEvent(to_stream(stream), to_event(event), 0), s);
}

bool CudaRuntime::event_done(void* event) {
  const Stream s = stream_for("query");
  const cudaError_t error = cudaEventQuery(to_event(event));
  if (error == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(error, s);
  return true;
}

void CudaRuntime::synchronize_event(void* event) {
  const Stream s = stream_for("synchronize");
  check(cudaEventSynchronize(to_event(event)), s);
}

double CudaRuntime::milliseconds(void* from, void* to) {
  const Stream s = stream_for("elapsed_ms");
  float result = 0;
  check(cudaEventElapsedTime(&result, to_event(from), to_event(to)), s);
  return result;
}

// --- graphs

void CudaRuntime::begin_capture(void* stream) {
  const Stream s = stream_for("graph");
  // Relaxed: the allocator may still ask the driver for memory.
  check(cudaStreamBeginCapture(to_stream(stream), cudaStreamCaptureModeRelaxed), s);
  currents[device_].capturing = true;
}

void* CudaRuntime::end_capture(void* stream) {
  currents[device_].capturing = false;
  const Stream s = stream_for("graph");
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(to_stream(stream), &graph), s);
  cudaGraphExec_t ready = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&ready, graph, 0);
  cudaGraphDestroy(graph);
  check(error, s);
  return ready;
}

bool CudaRuntime::capturing() const noexcept { return currents[device_].capturing; }

void CudaRuntime::replay(void* graph, void* stream) {
  const Stream s = stream_for("replay");
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), to_stream(stream)), s);
  if (s.checked) check(cudaStreamSynchronize(to_stream(stream)), s);
}

void CudaRuntime::destroy_graph(void* graph) noexcept {
  if (forked() || cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)) != cudaSuccess)
    cudaGetLastError();
}

}  // namespace NEEDLE_NS
