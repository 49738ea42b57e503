// A test program's few needs: CHECK counts what does not hold, check_throws looks at an exception's
// type and text.
#pragma once

#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <typeinfo>

namespace needle_test {

inline int failures = 0;
inline int checks = 0;

inline bool check(bool holds, const char* what, const char* file, int line) {
  ++checks;
  if (!holds) {
    ++failures;
    std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
  }
  return holds;
}

#define CHECK(condition) needle_test::check((condition), #condition, __FILE__, __LINE__)

// f must throw exactly E, with a text that holds `text`.
template <class E, class F>
void check_throws(F&& f, const std::string& text, const char* file, int line) {
  std::string seen = "nothing was thrown";
  try {
    f();
  } catch (const std::exception& e) {
    seen = e.what();
    if (typeid(e) == typeid(E) && seen.find(text) != std::string::npos) {
      ++checks;
      return;
    }
    seen = std::string(typeid(e).name()) + ": " + seen;
  }
  check(false, ("throws '" + text + "' (seen: " + seen + ")").c_str(), file, line);
}

#define CHECK_THROWS(E, text, ...) \
  needle_test::check_throws<E>([&] { __VA_ARGS__; }, text, __FILE__, __LINE__)

inline std::mt19937_64 generator(20240607);

// A whole number in [low, high].
inline std::int64_t draw(std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(generator);
}

inline int summary(const char* name) {
  std::printf("%s: %d checks, %d failures\n", name, checks, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace needle_test
