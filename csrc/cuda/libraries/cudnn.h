// What we use of cuDNN 9's C API, declared here: needle is built without its headers. Names in
// NVIDIA's documentation: cudnn + the member's.
#pragma once

#include "loading.h"

namespace NEEDLE_NS::libraries {

struct Cudnn : Loaded {
  using Status = int;  // its thousands are a category
  static constexpr Status success = 0;
  static constexpr bool refused(Status status) { return status / 1000 == 3; }  // not supported

  using Handle = struct CudnnContext*;
  using Tensor = struct CudnnTensor*;
  using Filter = struct CudnnFilter*;
  using Convolution = struct CudnnConvolution*;

  enum DataType : int { real32 = 0, real64 = 1, real16 = 2, real_bf16 = 9 };
  enum Format : int { channels_first = 0, channels_last = 1 };  // NCHW and KCRS, NHWC and KRSC
  enum Mode : int { cross_correlation = 1 };
  // What sums are made with. any: for float32, TF32 where there is; fma: none of that.
  enum Maths : int { any = 0, tensor_cores = 1, converted = 2, fma = 3 };

  // One struct for the three kinds of algorithms.
  struct Candidate {
    int algorithm;
    Status status;
    float time;
    std::size_t workspace;
    int deterministic;
    Maths maths;
    int reserved[3];
  };
  static constexpr int most_candidates = 8;

  std::size_t (*GetVersion)();
  const char* (*GetErrorString)(Status);
  Status (*Create)(Handle*);
  Status (*SetStream)(Handle, cudaStream_t);
  Status (*CreateTensorDescriptor)(Tensor*);
  Status (*SetTensor4dDescriptorEx)(Tensor, DataType, int n, int c, int h, int w, int n_stride,
                                    int c_stride, int h_stride, int w_stride);
  Status (*DestroyTensorDescriptor)(Tensor);
  Status (*CreateFilterDescriptor)(Filter*);
  Status (*SetFilter4dDescriptor)(Filter, DataType, Format, int k, int c, int h, int w);
  Status (*DestroyFilterDescriptor)(Filter);
  Status (*CreateConvolutionDescriptor)(Convolution*);
  Status (*SetConvolution2dDescriptor)(Convolution, int pad_h, int pad_w, int stride_h,
                                       int stride_w, int dilation_h, int dilation_w, Mode,
                                       DataType compute);
  Status (*SetConvolutionMathType)(Convolution, Maths);
  Status (*SetConvolutionGroupCount)(Convolution, int);
  Status (*DestroyConvolutionDescriptor)(Convolution);
  Status (*GetConvolutionForwardAlgorithm_v7)(Handle, Tensor x, Filter w, Convolution, Tensor y,
                                              int wanted, int* found, Candidate*);
  Status (*GetConvolutionBackwardDataAlgorithm_v7)(Handle, Filter w, Tensor dy, Convolution,
                                                   Tensor dx, int wanted, int* found, Candidate*);
  Status (*GetConvolutionBackwardFilterAlgorithm_v7)(Handle, Tensor x, Tensor dy, Convolution,
                                                     Filter dw, int wanted, int* found, Candidate*);
  Status (*ConvolutionForward)(Handle, const void* alpha, Tensor, const void* x, Filter,
                               const void* w, Convolution, int algorithm, void* workspace,
                               std::size_t, const void* beta, Tensor, void* y);
  Status (*ConvolutionBackwardData)(Handle, const void* alpha, Filter, const void* w, Tensor,
                                    const void* dy, Convolution, int algorithm, void* workspace,
                                    std::size_t, const void* beta, Tensor, void* dx);
  Status (*ConvolutionBackwardFilter)(Handle, const void* alpha, Tensor, const void* x, Tensor,
                                      const void* dy, Convolution, int algorithm, void* workspace,
                                      std::size_t, const void* beta, Filter, void* dw);

  Cudnn() : Loaded({"libcudnn.so.9"}) {
    find(GetVersion, "cudnnGetVersion");
    find(GetErrorString, "cudnnGetErrorString");
    find(Create, "cudnnCreate");
    find(SetStream, "cudnnSetStream");
    find(CreateTensorDescriptor, "cudnnCreateTensorDescriptor");
    find(SetTensor4dDescriptorEx, "cudnnSetTensor4dDescriptorEx");
    find(DestroyTensorDescriptor, "cudnnDestroyTensorDescriptor");
    find(CreateFilterDescriptor, "cudnnCreateFilterDescriptor");
    find(SetFilter4dDescriptor, "cudnnSetFilter4dDescriptor");
    find(DestroyFilterDescriptor, "cudnnDestroyFilterDescriptor");
    find(CreateConvolutionDescriptor, "cudnnCreateConvolutionDescriptor");
    find(SetConvolution2dDescriptor, "cudnnSetConvolution2dDescriptor");
    find(SetConvolutionMathType, "cudnnSetConvolutionMathType");
    find(SetConvolutionGroupCount, "cudnnSetConvolutionGroupCount");
    find(DestroyConvolutionDescriptor, "cudnnDestroyConvolutionDescriptor");
    find(GetConvolutionForwardAlgorithm_v7, "cudnnGetConvolutionForwardAlgorithm_v7");
    find(GetConvolutionBackwardDataAlgorithm_v7, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
    find(GetConvolutionBackwardFilterAlgorithm_v7, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
    find(ConvolutionForward, "cudnnConvolutionForward");
    find(ConvolutionBackwardData, "cudnnConvolutionBackwardData");
    find(ConvolutionBackwardFilter, "cudnnConvolutionBackwardFilter");
    if (usable()) set_version(GetVersion());
  }
};

// Loaded at the first call, used until the process ends.
Cudnn& cudnn();

}  // namespace NEEDLE_NS::libraries
