// Errors: `[op] rule, got name=value`, thrown as the standard exception that Python maps to the
// expected type: invalid_argument -> ValueError, out_of_range -> IndexError, TypeMismatch ->
// TypeError, bad_alloc -> MemoryError, runtime_error -> RuntimeError.
#pragma once

#include <charconv>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace needle {

class TypeMismatch : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// One part of a message. No streams: their number formatting is a facet of the process's locale,
// for which a library loaded beside us may have brought another libstdc++'s.
inline void append(std::string& out, std::string_view text) { out += text; }

template <class T>
  requires std::is_arithmetic_v<T>
void append(std::string& out, T number) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  out.append(text, end);
}

// message("conv", "channels of x and w must agree", "x.shape", "(1, 2)", ...) gives
// "[conv] channels of x and w must agree, got x.shape=(1, 2)".
template <class... Parts>
std::string message(std::string_view op, std::string_view rule, const Parts&... parts) {
  std::string out = "[";
  out.append(op).append("] ").append(rule);
  if constexpr (sizeof...(parts) > 0) {
    out += ", got ";
    int i = 0;
    ((out += i == 0 ? "" : i % 2 == 0 ? ", " : "=", append(out, parts), ++i), ...);
  }
  return out;
}

}  // namespace needle
