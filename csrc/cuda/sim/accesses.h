// One access of the code that runs, as the compiler reports it (accesses.cc), on its way to the
// checker (checker.cc).
#pragma once

#include <cstddef>

#include "checker.h"

namespace needle_sim {

// Aligned: the access must lie on a multiple of its size.
void check_access(const void* start, std::size_t bytes, Access access, const void* code,
                  bool aligned = true);

struct Fault {
  const char *rule, *deed, *file;
  unsigned line;
};
void fail_at(const Fault& fault);  // gives up the launch, if a kernel runs

}  // namespace needle_sim
