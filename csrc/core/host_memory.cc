// Reads /proc/meminfo, the limits of the control groups (version 2 and 1) that this process belongs
// to, and what /sys knows of the caches.
#include "host_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace needle {
namespace {

constexpr std::int64_t kUnknown = -1;

std::int64_t read_number(const std::string& path) {
  std::ifstream file(path);
  std::int64_t value = kUnknown;
  return file >> value ? value : kUnknown;  // "max" means no limit
}

// The number behind a key in a file of "key number" lines.
std::int64_t read_field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const std::size_t digits = line.find_first_of("0123456789", key.size());
    if (digits != std::string::npos) return std::stoll(line.substr(digits));
  }
  return kUnknown;
}

// The least room in a control group and its parents. File pages that nobody has touched lately can
// be reclaimed.
std::int64_t room_in_groups(const std::string& root, std::string group, const char* limit_file,
                            const char* usage_file, const char* reclaimable_key) {
  std::int64_t room = std::numeric_limits<std::int64_t>::max();
  while (true) {
    const std::string folder = root + group + "/";
    const std::int64_t limit = read_number(folder + limit_file);
    if (limit > 0) {
      const std::int64_t usage = std::max<std::int64_t>(0, read_number(folder + usage_file));
      const std::int64_t reclaimable =
          std::max<std::int64_t>(0, read_field(folder + "memory.stat", reclaimable_key));
      room =
          std::min(room, std::max<std::int64_t>(0, limit - usage + std::min(usage, reclaimable)));
    }
    if (group.empty()) return room;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

std::int64_t host_memory_available() {
  std::int64_t room = std::numeric_limits<std::int64_t>::max();
  const std::int64_t available_kib = read_field("/proc/meminfo", "MemAvailable:");
  if (available_kib >= 0) {
    const std::int64_t swap_kib =
        std::max<std::int64_t>(0, read_field("/proc/meminfo", "SwapFree:"));
    room = (available_kib + swap_kib) * 1024;
  }
  std::ifstream groups("/proc/self/cgroup");  // lines "id:controllers:/path"
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || second + 1 >= line.size() || line[second + 1] != '/')
      continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers == ",,") {
      room = std::min(room, room_in_groups("/sys/fs/cgroup", path, "memory.max", "memory.current",
                                           "inactive_file"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      room = std::min(room, room_in_groups("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes",
                                           "memory.usage_in_bytes", "total_inactive_file"));
    }
  }
  return room;
}

std::int64_t shared_cache_bytes() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");  // "32768K"
  std::int64_t size = 0;
  char unit = 0;
  if (file >> size >> unit && size > 0 && (unit == 'K' || unit == 'M')) {
    return size << (unit == 'K' ? 10 : 20);
  }
  return std::max<std::int64_t>(0, sysconf(_SC_LEVEL3_CACHE_SIZE));
}

}  // namespace needle
