// What lies in this program itself: the host's variables, which kernels must not touch, and
// constants.
#pragma once

namespace needle_sim {

// In this program or shared library, shared memory left out.
bool in_program(const void* address);
// Whether a kernel may read an address in it: constants, and what CUDA defines.
bool readable(const void* address);

}  // namespace needle_sim
