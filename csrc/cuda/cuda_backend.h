// What csrc/cuda offers to its binding: device discovery and the backend of a device.
#pragma once

#include <optional>
#include <string>

#include "../core/backend.h"

namespace NEEDLE_NS {

// Why no device can be used ("no CUDA driver is installed", ...); nullopt when one can.
std::optional<std::string> unavailable_reason();
int device_count();
// One backend per device, for the life of the process. Throws out_of_range for an index without a
// device.
needle::Backend* backend(int index);

}  // namespace NEEDLE_NS
