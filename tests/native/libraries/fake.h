// What the stand-ins for cuBLASLt and cuDNN count, and what a test tells them to answer. Each
// exports one as `fake`. They compute on the host, by the words of NVIDIA's documentation, and
// abort where a call is not as documented.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "core/dtype.h"

struct Fake {
  int calls = 0;       // of products or convolutions
  int heuristics = 0;  // how often algorithms were asked for
  int handles = 0;     // created
  int create_status = 0;
  int live = 0;                               // descriptors, created and not destroyed
  int heuristic_status = 0, call_status = 0;  // answers, other than success where not 0
  int failing_calls = 0;                      // how many of the next calls get call_status
  bool no_algorithm = false;                  // nothing found, though asked successfully
  bool no_channels_last = false;              // nothing found for such filters
  std::size_t workspace = 0;                  // what an algorithm needs
  int compute = 0;  // the last call's: compute type of cuBLASLt, math type of cuDNN
  int algorithm = 0;

  int answer() { return failing_calls > 0 ? (--failing_calls, call_status) : 0; }
};

#define FAKE_REQUIRE(condition)                                                               \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      std::fprintf(stderr, "%s:%d: not as documented: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)

namespace needle_fake {

// Elements of a type as both libraries number them: 0 float, 1 double, 2 half, else bfloat16.
inline double load(const void* data, int type, std::int64_t i) {
  switch (type) {
    case 0:
      return static_cast<const float*>(data)[i];
    case 1:
      return static_cast<const double*>(data)[i];
    case 2:
      return needle::half_to_float(static_cast<const needle::Half*>(data)[i]);
    default:
      return needle::bfloat16_to_float(static_cast<const needle::BFloat16*>(data)[i]);
  }
}

inline void store(void* data, int type, std::int64_t i, double value) {
  using namespace needle;
  switch (type) {
    case 0:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      break;
    case 1:
      static_cast<double*>(data)[i] = value;
      break;
    case 2:
      static_cast<Half*>(data)[i] = Convert<Half>::from(value);
      break;
    default:
      static_cast<BFloat16*>(data)[i] = Convert<BFloat16>::from(value);
  }
}

}  // namespace needle_fake
