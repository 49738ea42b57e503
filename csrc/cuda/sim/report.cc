// Reports of launches that cannot go on: where each group of threads stands.
#include <string>
#include <vector>

#include "launch.h"
#include "runtime.h"

namespace needle_sim {

std::string text(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

std::string site(const char* file, int line) {
  const std::string path = file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(line);
}

std::string site(const Thread& t) { return site(t.file, t.line); }

namespace {

std::string describe(const Thread& t) {
  if (t.state == State::exited) return "have exited";
  if (t.state == State::at_barrier) return "wait at the __syncthreads in " + site(t);
  const std::string names[] = {"__syncwarp", "shuffle", "vote"};
  return "wait at the " + names[static_cast<int>(t.kind)] + " in " + site(t);
}

}  // namespace

void fail_divergent() {
  std::string groups;
  std::vector<bool> told(g.threads);
  for (unsigned i = 0; i < g.threads; ++i) {
    if (told[i]) continue;
    const std::string what = describe(g.thread[i]);
    unsigned alike = 0;
    for (unsigned j = i; j < g.threads; ++j) {
      if (describe(g.thread[j]) != what) continue;
      told[j] = true;
      ++alike;
    }
    groups += (groups.empty() ? "" : "; ") + std::to_string(alike) + " threads, " +
              text(g.thread[i].index) + " first, " + what;
  }
  fail("divergent barrier: " + groups);
}

}  // namespace needle_sim
