// What we use of cuBLASLt's C API (12 and 13), declared here: needle is built without its headers.
// Names in NVIDIA's documentation: cublasLt + the member's.
#pragma once

#include "loading.h"

namespace NEEDLE_NS::libraries {

struct CublasLt : Loaded {
  using Status = int;
  static constexpr Status success = 0;
  static constexpr bool refused(Status status) {  // this device, or this problem
    return status == 8 || status == 15;
  }

  using Handle = struct CublasLtContext*;
  using Operation = struct CublasLtOperation*;
  using Layout = struct CublasLtLayout*;
  using Preference = struct CublasLtPreference*;

  // enums of the API, with the values that we use
  enum Compute : int { f32 = 68, f64 = 70, f32_by_tf32 = 77 };
  enum DataType : int { real32 = 0, real64 = 1, real16 = 2, real_bf16 = 14 };
  enum OperationAttribute : int { transpose_a = 3, transpose_b = 4 };  // int32: 1 to transpose
  enum LayoutAttribute : int { batch_count = 5, batch_stride = 6 };    // int32; int64, elements
  enum PreferenceAttribute : int {
    workspace_bytes = 1,   // uint64, at most
    reduction_schemes = 3  // uint32, a mask; of split-K's partial sums
  };
  // uint32, bytes that divide the pointers, of a, b, c and d
  static constexpr PreferenceAttribute alignments[] = {
      PreferenceAttribute(5), PreferenceAttribute(6), PreferenceAttribute(7),
      PreferenceAttribute(8)};
  static constexpr std::uint32_t partial_sums_in_compute_type = 2;

  struct Algorithm {
    std::uint64_t data[8];
  };
  struct Heuristic {
    Algorithm algorithm;
    std::size_t workspace;
    Status state;
    float waves;
    int reserved[4];
  };

  // A matrix is column-major: `rows` neighbouring elements, `ld` from column to column.
  std::size_t (*GetVersion)();
  const char* (*GetStatusString)(Status);
  Status (*Create)(Handle*);
  Status (*MatmulDescCreate)(Operation*, Compute, DataType scale);
  Status (*MatmulDescSetAttribute)(Operation, OperationAttribute, const void*, std::size_t);
  Status (*MatmulDescDestroy)(Operation);
  Status (*MatrixLayoutCreate)(Layout*, DataType, std::uint64_t rows, std::uint64_t columns,
                               std::int64_t ld);
  Status (*MatrixLayoutSetAttribute)(Layout, LayoutAttribute, const void*, std::size_t);
  Status (*MatrixLayoutDestroy)(Layout);
  Status (*MatmulPreferenceCreate)(Preference*);
  Status (*MatmulPreferenceSetAttribute)(Preference, PreferenceAttribute, const void*, std::size_t);
  Status (*MatmulPreferenceDestroy)(Preference);
  Status (*MatmulAlgoGetHeuristic)(Handle, Operation, Layout a, Layout b, Layout c, Layout d,
                                   Preference, int wanted, Heuristic*, int* found);
  Status (*Matmul)(Handle, Operation, const void* alpha, const void* a, Layout, const void* b,
                   Layout, const void* beta, const void* c, Layout, void* d, Layout,
                   const Algorithm*, void* workspace, std::size_t, cudaStream_t);

  CublasLt() : Loaded({"libcublasLt.so.13", "libcublasLt.so.12"}) {
    find(GetVersion, "cublasLtGetVersion");
    find(GetStatusString, "cublasLtGetStatusString");
    find(Create, "cublasLtCreate");
    find(MatmulDescCreate, "cublasLtMatmulDescCreate");
    find(MatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute");
    find(MatmulDescDestroy, "cublasLtMatmulDescDestroy");
    find(MatrixLayoutCreate, "cublasLtMatrixLayoutCreate");
    find(MatrixLayoutSetAttribute, "cublasLtMatrixLayoutSetAttribute");
    find(MatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy");
    find(MatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate");
    find(MatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute");
    find(MatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy");
    find(MatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(Matmul, "cublasLtMatmul");
    if (usable()) set_version(GetVersion());
  }
};

// Loaded at the first call, used until the process ends.
CublasLt& cublaslt();

}  // namespace NEEDLE_NS::libraries
