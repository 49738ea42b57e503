// How a library is found: the copy that this process has loaded already (two of one library do not
// get along), then the folders that were given (set_folders), then what the loader knows.
#pragma once

#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>

#include "../launch.cuh"
#include "libraries.h"

namespace NEEDLE_NS::libraries {

// A library that was looked for, and what it was asked for.
class Loaded {
 public:
  // The first of the names that can be loaded.
  explicit Loaded(std::initializer_list<const char*> names);

  // function = the library's; a missing one makes the library unusable.
  template <class F>
  void find(F*& function, const char* name) {
    function = reinterpret_cast<F*>(symbol(name));
  }
  bool usable() const { return report_.reason.empty(); }
  // 10,000 major + 100 minor + patch.
  void set_version(std::size_t number);

  // A device's handle, which create(&handle) makes at its first use; nullptr where it cannot: the
  // library is then unusable.
  template <class Handle, class Create, class Describe>
  Handle started(Handle& handle, Create create, Describe describe) {
    if (handle != nullptr || !usable()) return handle;
    if (const int status = create(&handle); status != 0) {
      handle = nullptr;
      report_.reason = std::string("it cannot be started: ") + describe(status);
    }
    return handle;
  }
  bool counted(bool taken) {
    ++(taken ? report_.taken : report_.refused);
    return taken;
  }
  Report report() {
    const std::lock_guard lock(mutex);
    return report_;
  }

  std::mutex mutex;  // held while the library is used: a handle serves one call at a time

 private:
  void* symbol(const char* name);

  Report report_;
  void* handle_ = nullptr;
  std::string path_;
};

// A descriptor of a library, destroyed by its function.
template <class T>
using Owned = std::unique_ptr<std::remove_pointer_t<T>, int (*)(T)>;

// The device whose backend is calling.
inline int current_device(const Stream& stream) {
  int device = 0;
  check(cudaGetDevice(&device), stream);
  return device;
}

// The largest power of two that divides the address, 64 at most: what every fresh array has, so
// that a choice of algorithm does not depend on where the allocator had room.
inline std::uint32_t alignment(std::uintptr_t address) {
  return static_cast<std::uint32_t>((address | 64) & -(address | 64));
}

}  // namespace NEEDLE_NS::libraries
