// The cpu device: host memory, and the kernels of the best instruction set that this processor has.
#pragma once

#include "../core/backend.h"

namespace needle {

struct CpuKernels;  // kernels.h

// The one instance. The first call chooses the instruction set; NEEDLE_ISA=v2, v3 or v4 in the
// environment forces one (invalid_argument for another word, runtime_error where the processor
// lacks it).
Backend* cpu_backend();

// "x86-64-v2", "x86-64-v3", "x86-64-v4" or "generic".
const char* cpu_isa();

// The kernels of that instruction set, for what is measured of the processor itself.
const CpuKernels& cpu_kernels();

}  // namespace needle
