// From an address of the program's code to its source, by addr2line (binutils), asked when a report
// is made.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "checker.h"

namespace needle_sim {
namespace {

struct Found {
  std::string function, line;  // "path:line"; "" for what is unknown
};

// The inlined functions at an address and the one that holds them, innermost first.
std::vector<Found> look_up(std::uintptr_t offset, const char* program) {
  char command[4096];
  const int length = std::snprintf(command, sizeof command, "addr2line -i -C -f -e '%s' 0x%zx 2>&-",
                                   program, static_cast<std::size_t>(offset));
  if (length < 0 || length >= static_cast<int>(sizeof command)) return {};
  std::FILE* output = popen(command, "r");
  if (output == nullptr) return {};
  std::vector<Found> found;
  std::string text;
  for (int c, lines = 0; (c = std::fgetc(output)) != EOF;) {
    if (c != '\n') {
      text += static_cast<char>(c);
      continue;
    }
    if (lines++ % 2 == 0) {
      found.push_back({text, ""});
    } else if (text[0] != '?') {
      found.back().line = text.substr(0, text.find(' '));  // "(discriminator 2)"
    }
    text.clear();
  }
  pclose(output);
  return found;
}

struct Place {
  std::string file;
  std::uintptr_t offset;
  std::vector<Found> found;
};

Place place_of(const void* code) {
  Dl_info info;
  void* map = nullptr;
  if (dladdr1(code, &info, &map, RTLD_DL_LINKMAP) == 0) return {"?", 0, {}};
  const std::uintptr_t offset =
      reinterpret_cast<std::uintptr_t>(code) - static_cast<link_map*>(map)->l_addr;
  return {info.dli_fname, offset, look_up(offset, info.dli_fname)};
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string source_line(const void* code) {
  // A return address: the call ends before it.
  const Place place = place_of(static_cast<const char*>(code) - 1);
  for (const Found& found : place.found) {
    const std::string line = last_part(found.line);
    const bool ours = line.starts_with("atomics.h:") || line.starts_with("cuda_runtime.h:");
    if (!line.empty() && !ours) return line;
  }
  char offset[32];
  std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(place.offset));
  return last_part(place.file) + offset;
}

std::string function_name(const void* code) {
  // "void space::(anonymous namespace)::name<float>(float*)": what stands before the first bracket
  // that opens arguments.
  const Place place = place_of(code);
  std::string name = place.found.empty() ? "?" : place.found.back().function;
  const std::string unnamed = "(anonymous namespace)::";
  for (std::size_t at; (at = name.find(unnamed)) != std::string::npos;) {
    name.erase(at, unnamed.size());
  }
  name.resize(std::min(name.size(), name.find_first_of("<(")));
  name.erase(0, name.find_last_of(" :") + 1);
  return name;
}

}  // namespace needle_sim
