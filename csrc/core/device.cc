// The registry of devices, and what happens when the last reference to a storage goes.
#include <memory>
#include <mutex>
#include <vector>

#include "ndarray.h"

namespace needle {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::unique_ptr<Device>> devices;
};

// Never destroyed: arrays may outlive every static object.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

Device* find(const Registry& all, std::string_view name, int index) {
  for (const auto& device : all.devices) {
    if (device->name == name && device->index == index) return device.get();
  }
  return nullptr;
}

}  // namespace

Device::Device(std::string device_name, int device_index, Backend* device_backend)
    : name(std::move(device_name)),
      index(device_index),
      backend(device_backend),
      allocator(device_backend, this) {}

std::string Device::repr() const {
  return name + (index == 0 ? "()" : "(" + std::to_string(index) + ")");
}

std::vector<DType> Device::computed_dtypes() const {
  std::vector<DType> dtypes;
  for (int i = 0; i < kDTypeCount; ++i) {
    if (backend->computes(static_cast<DType>(i))) dtypes.push_back(static_cast<DType>(i));
  }
  return dtypes;
}

Device& register_device(const std::string& name, int index, Backend* backend) {
  if (backend == nullptr || index < 0 || name.empty()) {
    throw std::invalid_argument(message("register_device",
                                        "needs a name, an index from 0 and a backend", "name", name,
                                        "index", index));
  }
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (find(all, name, index) != nullptr) {
    throw std::invalid_argument(message("register_device", "a device can be registered once",
                                        "name", name, "index", index));
  }
  return *all.devices.emplace_back(std::make_unique<Device>(name, index, backend));
}

Device* find_device(const std::string& name, int index) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  return find(all, name, index);
}

void StorageRef::destroy(Storage* storage) noexcept {
  Allocator& allocator = storage->device->allocator;
  if (storage->release) {
    allocator.release(storage);
  } else {
    allocator.deallocate(storage);
  }
}

}  // namespace needle
