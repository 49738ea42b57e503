// The simulator's own controls (CUDA's are in cuda_runtime.h).
#pragma once

#include <cstdint>
#include <string>

namespace needle_sim {

// The seed of the order in which blocks and threads run; NEEDLE_SIM_SEED gives the first. Every
// launch starts from it, so that a launch does not depend on those before it. A right kernel gives
// the same bits under every seed.
void set_seed(std::uint64_t seed);
std::uint64_t seed();
std::string seed_error();  // what is wrong with NEEDLE_SIM_SEED, for which launches fail; or ""

}  // namespace needle_sim
