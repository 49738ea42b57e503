// Switches in the environment.
#pragma once

#include <cstdlib>
#include <string_view>

#include "errors.h"

namespace needle {

// 1 is on; 0, empty or absent is off. ValueError otherwise: a switch that does nothing would be
// taken for one that is on.
inline bool switched_on(const char* name) {
  const char* const found = std::getenv(name);
  const std::string_view value = found == nullptr ? "" : found;
  if (value.empty() || value == "0") return false;
  if (value == "1") return true;
  throw std::invalid_argument(message("environment", "a switch is 0 or 1", name, value));
}

}  // namespace needle
