// Errors: `[op] rule, got name=value`, thrown as the standard exception that Python maps to the
// expected type: invalid_argument -> ValueError, out_of_range -> IndexError, TypeMismatch ->
// TypeError, bad_alloc -> MemoryError, runtime_error -> RuntimeError.
#pragma once

#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

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

// message("conv", "channels of x and w must agree", "x.shape", "(1, 2)", ...) gives
// "[conv] channels of x and w must agree, got x.shape=(1, 2)".
template <class... Parts>
std::string message(std::string_view op, std::string_view rule, const Parts&... parts) {
  std::ostringstream out;
  out << '[' << op << "] " << rule;
  if constexpr (sizeof...(parts) > 0) {
    out << ", got ";
    int i = 0;
    ((out << (i == 0 ? "" : i % 2 == 0 ? ", " : "=") << parts, ++i), ...);
  }
  return out.str();
}

}  // namespace needle
