// What the system says of the host's memory.
#pragma once

#include <cstdint>

namespace needle {

// The least of what the machine and the control groups of this process have left; INT64_MAX when
// nothing is known. The system over-commits, so asking for more would end in a kill.
std::int64_t host_memory_available();

// Bytes of the last cache that cores share; 0 when not known. Where the system says it of each
// cache, that counts: sysconf adds up those of a machine with several.
std::int64_t shared_cache_bytes();

}  // namespace needle
