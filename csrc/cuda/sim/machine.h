// The machine that the simulator pretends to be; tests change it.
#pragma once

#include <cstddef>

namespace needle_sim {

struct Machine {
  int driver = 13000, runtime = 13000;  // versions of CUDA; a driver of 0 is none
  int devices = 1;
  std::size_t memory = std::size_t{4} << 30;  // of each device
  bool survives_fork = true;                  // device memory is the host's: a fork has a copy
};

extern Machine machine;

}  // namespace needle_sim
