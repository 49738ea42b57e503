// What `._handle` gives: an array's storage, for code that compares addresses or makes arrays over
// it.
#pragma once

#include "core/ndarray.h"

namespace needle::bind {

struct Handle {
  NDArray array;  // any array over the storage
};

}  // namespace needle::bind
