// The checker: sees every access of the kernels and reports races, stray and misaligned accesses,
// and reads of memory that nothing has written.
//
// It works when the .cu files are compiled with -fsanitize=thread (compiled only: the program is
// not linked with that option): the compiler then calls a function before every access, and these
// functions are ours (accesses.cc). Without the option nothing calls them, and the notes below
// return at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace needle_sim {

enum class Access : std::uint8_t { read, write, atomic_read, atomic_write };

bool instrumented();  // whether any code of this program reports its accesses

// Whether a kernel's own code runs on this thread. The simulator's is left out, and has to say so:
// it shares the standard library's inline functions with the kernels.
extern thread_local bool in_kernel;
struct Outside {
  Outside() { in_kernel = false; }
  ~Outside() { in_kernel = true; }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;
};

// What the simulator tells the checker.
bool note_allocated(const void* block, std::size_t bytes);  // false: no memory for its records
void note_freed(const void* block);
void note_written(const void* start, std::size_t bytes);  // by the host
void note_unwritten(const void* start, std::size_t bytes);
void note_launch(const void* arguments, std::size_t bytes);
std::string report_at_end();  // of a launch that has not failed: "" or what is wrong
void note_block();
void note_barrier();
void note_warp_barrier(unsigned first, unsigned lanes);  // the warp's first thread, who took part
void note_fence();

// Where an address of the program's code comes from: "file:line", or the offset where the program
// has no debug information (-g1) or the machine no addr2line. The name of the function there.
std::string source_line(const void* code);
std::string function_name(const void* code);

}  // namespace needle_sim
