// What Python asks and tells NVIDIA's libraries (libraries.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace NEEDLE_NS::libraries {

// What became of a library: loaded now if it was not yet.
struct Report {
  std::string version;  // "13.1.0 (/usr/lib/...)"; empty where reason says why it is not used
  std::string reason;
  std::int64_t taken = 0, refused = 0;  // calls that it computed, and that it left to our kernels
};
std::map<std::string, Report> reports();

// Where to look before the system's own folders; heeded until the first use.
void set_folders(std::vector<std::string> folders);

// Whether a device's float32 products may round their factors to TF32; false until set.
bool allow_tf32(int device);
void set_allow_tf32(int device, bool allowed);

}  // namespace NEEDLE_NS::libraries
