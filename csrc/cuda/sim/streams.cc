// See streams.h. What CUDA forbids while a stream is captured is an error here too.
#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "runtime.h"

struct needle_sim_graph {
  std::vector<needle_sim::Work> work;
};

struct needle_sim_stream {
  std::unique_ptr<needle_sim_graph> recording;
};

struct needle_sim_event {
  std::chrono::steady_clock::time_point when;
};

namespace {

std::atomic<int> captures{0};  // streams that are being captured

cudaError_t wait() {
  return needle_sim::record(captures == 0 ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
}

}  // namespace

namespace needle_sim {

bool captured(cudaStream_t stream) { return stream != nullptr && stream->recording != nullptr; }

void record_work(cudaStream_t stream, Work work) {
  stream->recording->work.push_back(std::move(work));
}

}  // namespace needle_sim

using needle_sim::captured;
using needle_sim::record;

cudaError_t cudaDeviceSynchronize() { return wait(); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new needle_sim_stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return record(captured(stream) ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new needle_sim_event;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->when = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || captured(stream)) return record(cudaErrorStreamCaptureUnsupported);
  stream->recording = std::make_unique<needle_sim_graph>();
  ++captures;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!captured(stream)) return record(cudaErrorInvalidValue);
  *graph = stream->recording.release();
  --captures;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = new needle_sim_graph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) { return cudaGraphDestroy(ready); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t) {
  for (const auto& work : ready->work) {
    const cudaError_t error = work();
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
