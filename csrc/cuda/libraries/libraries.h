// NVIDIA's libraries for products: cuBLASLt for matmul, cuDNN for convolution, found at run time
// (loading.h) and used where they take the problem; where they do not, needle's own kernels
// compute. The simulator has none: sim/no_libraries.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "../../core/backend.h"
#include "../launch.cuh"

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

// What became of a library: loaded now if it was not yet.
struct Report {
  std::string version;  // "13.1.0 (/usr/lib/...)"; empty where reason says why it is not used
  std::string reason;
  std::int64_t taken = 0, refused = 0;  // calls that it computed, and that it left to our kernels
};
std::map<std::string, Report> reports();

// Where to look before the system's own folders; heeded until the first use.
void set_folders(std::vector<std::string> folders);

// Whether a device's float32 products may round their operands to TF32; NEEDLE_ALLOW_TF32=1 in the
// environment allows it from the start.
bool allow_tf32(int device);
void set_allow_tf32(int device, bool allowed);

}  // namespace NEEDLE_NS::libraries
