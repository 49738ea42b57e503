// Streams, events and graphs of the simulator, as cuda_runtime.h includes them. Work is done when
// it is queued, in a stream that is captured when its graph is launched.
#pragma once

using cudaEvent_t = struct needle_sim_event*;
using cudaGraph_t = struct needle_sim_graph*;
using cudaGraphExec_t = needle_sim_graph*;

enum cudaMemoryType {
  cudaMemoryTypeUnregistered,
  cudaMemoryTypeHost,
  cudaMemoryTypeDevice,
  cudaMemoryTypeManaged
};

struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
};

struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
};

enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };
enum : unsigned { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
enum : unsigned { cudaEventDefault = 0, cudaEventDisableTiming = 2 };

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* found, int device);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* address);
cudaError_t cudaDeviceSynchronize();

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready);
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream);

namespace needle_sim {

using Work = std::function<cudaError_t()>;

// Does the work, or records it when the stream is being captured.
bool captured(cudaStream_t stream);
void record_work(cudaStream_t stream, Work work);
template <class F>
cudaError_t queue(cudaStream_t stream, F&& work) {
  if (!captured(stream)) return work();
  record_work(stream, std::forward<F>(work));
  return cudaSuccess;
}

}  // namespace needle_sim
