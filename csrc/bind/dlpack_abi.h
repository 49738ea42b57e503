// The DLPack 1.x C interface, as far as arrays of host and CUDA memory need it: the layouts are
// fixed by the standard.
#pragma once

#include <cstdint>

namespace needle::bind::dlpack {

enum DeviceType : std::int32_t {
  kCpu = 1,
  kCuda = 2,
  kCudaHost = 3,
  kExtension = 12,
  kCudaManaged = 13
};
enum TypeCode : std::uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

constexpr std::uint64_t kReadOnly = 1;
constexpr std::uint64_t kCopied = 2;

constexpr char kLegacy[] = "dltensor";
constexpr char kLegacyUsed[] = "used_dltensor";
constexpr char kVersioned[] = "dltensor_versioned";
constexpr char kVersionedUsed[] = "used_dltensor_versioned";

struct Device {
  std::int32_t type;
  std::int32_t index;
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: row-major
  std::uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

struct Version {
  std::uint32_t major;
  std::uint32_t minor;
};

struct ManagedTensorVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedTensorVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};

}  // namespace needle::bind::dlpack
