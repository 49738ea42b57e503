// The simulated device for tests of kernels, which have no allocator: scratch memory comes straight
// from the backend.
#pragma once

#include "../../csrc/cuda/cuda_backend.h"

namespace needle_test {

struct PlainScratch final : needle::ScratchSource {
  needle::Storage* allocate(std::size_t bytes) override {
    auto* block = new needle::Storage;
    block->data = NEEDLE_NS::backend(0)->raw_allocate(bytes);
    block->bytes = bytes;
    return block;
  }
  void deallocate(needle::Storage* block) noexcept override {
    NEEDLE_NS::backend(0)->raw_free(block->data, block->bytes);
    delete block;
  }
};

inline needle::Backend& device() {
  static PlainScratch scratch;
  static needle::Backend& backend = []() -> needle::Backend& {
    needle::Backend& made = *NEEDLE_NS::backend(0);
    made.use_scratch(&scratch);
    return made;
  }();
  return backend;
}

}  // namespace needle_test
