// See loading.h; and settings.h.
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "loading.h"

namespace NEEDLE_NS::libraries {
namespace {

bool environment_is(const char* name, const char* value) {
  const char* found = std::getenv(name);
  return found != nullptr && std::string(found) == value;
}

struct Settings {
  std::mutex mutex;
  std::vector<std::string> folders;
  std::map<int, bool> tf32;  // by device
};

// Used until the process ends.
Settings& settings() {
  static auto* instance = new Settings;
  return *instance;
}

}  // namespace

void set_folders(std::vector<std::string> folders) {
  const std::lock_guard lock(settings().mutex);
  settings().folders = std::move(folders);
}

bool allow_tf32(int device) {
  const std::lock_guard lock(settings().mutex);
  const auto found = settings().tf32.find(device);
  return found != settings().tf32.end() && found->second;
}

void set_allow_tf32(int device, bool allowed) {
  const std::lock_guard lock(settings().mutex);
  settings().tf32[device] = allowed;
}

Loaded::Loaded(std::initializer_list<const char*> names) {
  if (environment_is("NEEDLE_CUDA_LIBS", "0")) {
    report_.reason = "NEEDLE_CUDA_LIBS=0: needle's own kernels only";
    return;
  }
  const std::lock_guard lock(settings().mutex);
  for (const char* name : names) {
    if (handle_ == nullptr) handle_ = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
  }
  std::string failure;
  const auto open = [&](const std::string& path) {
    if (handle_ != nullptr) return;
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const char* error = handle_ == nullptr ? dlerror() : nullptr;
    if (error != nullptr && failure.empty()) failure = error;
  };
  for (const std::string& folder : settings().folders) {
    for (const char* name : names) {
      const std::string path = folder + "/" + name;
      std::error_code unreadable;
      if (std::filesystem::exists(path, unreadable)) open(path);
    }
  }
  for (const char* name : names) open(name);
  if (handle_ == nullptr) report_.reason = "not loaded: " + failure;
}

void* Loaded::symbol(const char* name) {
  if (!usable()) return nullptr;
  void* found = dlsym(handle_, name);
  Dl_info info{};
  if (found == nullptr) {
    report_.reason = std::string("too old or too new: it has no ") + name;
  } else if (path_.empty() && dladdr(found, &info) != 0) {
    path_ = info.dli_fname;
  }
  return found;
}

void Loaded::set_version(std::size_t number) {
  report_.version = std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) +
                    "." + std::to_string(number % 100) + " (" + path_ + ")";
}

}  // namespace NEEDLE_NS::libraries
