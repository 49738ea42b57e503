// Images and filters in the order of axes that cuDNN wants.
#pragma once

#include <optional>

#include "../kernels.h"

namespace NEEDLE_NS::libraries {

constexpr std::uintptr_t kAlignment = 16;  // vectorised kernels read as many bytes at once
// First where channels come first, then where they come last.
constexpr int kImage[2][4] = {{0, 3, 1, 2}, {0, 1, 2, 3}};   // NHWC to NCHW, NHWC
constexpr int kFilter[2][4] = {{3, 2, 0, 1}, {3, 0, 1, 2}};  // RSCK to KCRS, KRSC

// A compact array of 4 axes in the order that cuDNN wants: itself, or a copy.
class Arranged {
 public:
  Arranged(const Stream& stream, const needle::View& array, const int (&order)[4], bool is_input)
      : stream_(stream), permuted_(array), data_(array.data) {
    bool same = reinterpret_cast<std::uintptr_t>(array.data) % kAlignment == 0;
    for (int d = 0; d < 4; ++d) {
      same = same && order[d] == d;
      permuted_.shape[d] = array.shape[order[d]];
      permuted_.strides[d] = array.strides[order[d]];
    }
    if (same) return;
    memory_.emplace(static_cast<std::size_t>(needle::numel(array)) * itemsize(array.dtype), stream);
    data_ = memory_->data();
    if (is_input) copy(stream_, compact(), permuted_);
  }
  void* data() const { return data_; }
  // An output that was computed in the copy goes where it belongs.
  void deliver() const {
    if (memory_) copy(stream_, permuted_, compact());
  }

 private:
  needle::View compact() const {
    needle::View v = permuted_;
    v.data = data_;
    std::int64_t stride = 1;
    for (int d = 3; d >= 0; --d) {
      v.strides[d] = stride;
      stride *= v.shape[d];
    }
    return v;
  }

  const Stream& stream_;
  needle::View permuted_;
  void* data_;
  std::optional<Scratch> memory_;
};

}  // namespace NEEDLE_NS::libraries
