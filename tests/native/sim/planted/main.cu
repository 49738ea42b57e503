// planted                       the names of the bugs
// planted NAME wrong|right      one of them: exit 0 if its result is right, 1 if wrong, 2 and the
//                               error's text if a launch or a call failed
// planted --all wrong|right     all of them, a line for each: name, exit code, text
#include <cstdio>
#include <cstring>

#include "planted.cuh"

namespace {

int run(const planted::Case& one, bool wrong, std::string& text) {
  try {
    return (wrong ? one.wrong : one.right)() ? 0 : 1;
  } catch (const std::exception& error) {
    text = error.what();
    return 2;
  }
}

}  // namespace

int main(int count, char** arguments) {
  const bool wrong = count > 2 && std::strcmp(arguments[2], "wrong") == 0;
  const bool all = count > 1 && std::strcmp(arguments[1], "--all") == 0;
  int worst = 0;
  for (const planted::Case& one : planted::cases()) {
    if (count == 1) std::printf("%s\n", one.name);
    if (count == 1 || (!all && std::strcmp(arguments[1], one.name) != 0)) continue;
    std::string text;
    const int code = run(one, wrong, text);
    std::printf("%s\t%d\t%s\n", one.name, code, text.c_str());
    worst = std::max(worst, code);
  }
  return worst;
}
