// The program as the linker lays it out and the loader maps it: parts that stay writable hold
// variables, the others code and constants.
#include "program.h"

#include <cuda_runtime.h>
#include <link.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime.h"

extern "C" {
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));
}

namespace needle_sim {
namespace {

using Address = std::uintptr_t;

Address number(const void* p) { return reinterpret_cast<Address>(p); }

class Variables {
 public:
  Variables() {
    Address base = number(&__ehdr_start);
    const auto* const first = reinterpret_cast<const ElfW(Phdr)*>(base + __ehdr_start.e_phoff);
    const std::span parts(first, __ehdr_start.e_phnum);
    for (const auto& part : parts) {
      if (part.p_type == PT_LOAD && part.p_offset == 0) base -= part.p_vaddr;
    }
    for (const auto& part : parts) {
      const Range range{base + part.p_vaddr, part.p_memsz};
      if (part.p_type == PT_LOAD && (part.p_flags & PF_W) != 0) writable_.push_back(range);
      if (part.p_type == PT_GNU_RELRO) fixed_.push_back(range);
    }
  }
  bool hold(Address address) const { return in(writable_, address) && !in(fixed_, address); }

 private:
  struct Range {
    Address start;
    std::size_t bytes;
  };
  static bool in(const std::vector<Range>& ranges, Address address) {
    return std::ranges::any_of(ranges, [&](const Range& r) { return address - r.start < r.bytes; });
  }
  std::vector<Range> writable_, fixed_;  // fixed: no longer writable once the program is loaded
};

}  // namespace

bool in_program(const void* address) {
  const Address start = number(&__ehdr_start);
  return number(address) - start < number(_end) - start && !in_shared_memory(address);
}

bool readable(const void* address) {
  static const Variables variables;
  const auto lies_in = [&](const auto& builtin) {
    return number(address) - number(&builtin) < sizeof builtin;
  };
  return lies_in(threadIdx) || lies_in(blockIdx) || lies_in(blockDim) || lies_in(gridDim) ||
         !variables.hold(number(address));
}

}  // namespace needle_sim
