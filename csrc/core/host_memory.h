// How much memory the host can still give: the system over-commits, so asking for more would end in
// a kill.
#pragma once

#include <cstdint>

namespace needle {

// The least of what the machine and the control groups of this process have left; INT64_MAX when
// nothing is known.
std::int64_t host_memory_available();

}  // namespace needle
