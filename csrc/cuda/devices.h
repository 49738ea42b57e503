// What is true of the process rather than of one device.
#pragma once

namespace NEEDLE_NS {

constexpr int kMostDevices = 64;

// In a process that was forked after CUDA had been used.
bool forked() noexcept;
constexpr char kForked[] =
    "CUDA cannot be used in a process forked after it was: start the process with "
    "multiprocessing's spawn method, or fork before needle.cuda() is first used";

}  // namespace NEEDLE_NS
