// NVIDIA's libraries for products: cuBLASLt for matmul, cuDNN for convolution, found at run time
// (loading.h) and used where they take the problem; where they do not, needle's own kernels
// compute. The simulator has none: sim/no_libraries.cc.
#pragma once

#include "../../core/backend.h"
#include "../launch.cuh"
#include "settings.h"

namespace NEEDLE_NS::libraries {

// Whether a library has queued the result; false: it is our kernel's to compute. Arguments as
// Backend's. Only deterministic algorithms, sums in float32 or better.
bool matmul(const Stream& stream, needle::View dst, needle::View a, needle::View b);
bool conv2d(const Stream& stream, const needle::View& y, const needle::View& x,
            const needle::View& w, const needle::Conv2dParams& p);
bool conv2d_grad_input(const Stream& stream, const needle::View& dx, const needle::View& dy,
                       const needle::View& w, const needle::Conv2dParams& p);
bool conv2d_grad_weight(const Stream& stream, const needle::View& dw, const needle::View& x,
                        const needle::View& dy, const needle::Conv2dParams& p);

}  // namespace NEEDLE_NS::libraries
