// Assignment between views of one memory, whatever their overlap, and what may not be written.
#include "view_model.h"

using namespace needle;
using namespace needle_test;

namespace {

// Assignment between random views of one array, against the model: read everything, then write.
void assignment() {
  for (int round = 0; round < 4000; ++round) {
    const NDArray whole = iota({4, 5, 3});
    const std::vector<std::int64_t> before = elements(whole);
    NDArray target = whole;
    Model places{{4, 5, 3}, before};  // the place in `whole` of each of the target's elements
    for (std::int64_t i = draw(0, 3); i > 0; --i)
      (draw(0, 1) == 0 ? random_index : random_flip)(target, places);
    NDArray source = whole;
    Model values{{4, 5, 3}, before};
    for (std::int64_t i = draw(0, 3); i > 0; --i)
      (draw(0, 1) == 0 ? random_index : random_permute)(source, values);
    std::vector<std::int64_t> wanted = before;
    bool fits = source.ndim() <= target.ndim();
    for (int i = 1; fits && i <= source.ndim(); ++i) {
      const std::int64_t n = source.shape()[source.ndim() - i];
      fits = n == 1 || n == target.shape()[target.ndim() - i];
    }
    if (!fits) {
      if (source.ndim() <= target.ndim())
        CHECK_THROWS(std::invalid_argument, "[setitem]", target.assign(source));
      continue;
    }
    const int added = target.ndim() - source.ndim();
    std::size_t flat = 0;
    for_each_index(places.shape.data(), places.ndim(), [&](const std::int64_t* index) {
      std::int64_t from[kMaxDims] = {};
      for (int i = 0; i < values.ndim(); ++i)
        from[i] = values.shape[static_cast<std::size_t>(i)] == 1 ? 0 : index[i + added];
      wanted[static_cast<std::size_t>(places.values[flat++])] = values.at(from);
    });
    target.assign(source);
    if (!CHECK(elements(whole) == wanted)) return;
  }
  // Two storages over the same bytes.
  std::int64_t memory[4] = {0, 1, 2, 3};
  const auto wrap = [&](std::int64_t first, std::int64_t step) {
    return NDArray::foreign(memory + first, {4}, {step}, DType::int64, device, true, [] {});
  };
  wrap(0, 1).assign(wrap(3, -1));
  CHECK(memory[0] == 3 && memory[1] == 2 && memory[2] == 1 && memory[3] == 0);
  NDArray row = iota({3});
  row.assign(iota({1, 1, 3}).flip({-1}));  // leading axes of size 1 go, as in numpy
  CHECK(elements(row) == (std::vector<std::int64_t>{2, 1, 0}));
  CHECK_THROWS(std::invalid_argument, "[setitem] elements that share",
               iota({1}).broadcast_to({3}).assign(row));
  CHECK_THROWS(std::invalid_argument, "[setitem] elements that share",
               iota({6}).as_strided({4, 3}, {1, 1}, 0).assign(row));
  CHECK_THROWS(std::invalid_argument, "[fill] elements that share",
               iota({1}).broadcast_to({3}).fill(Scalar{0, 0, true}));
  CHECK_THROWS(TypeMismatch, "[setitem] operands must have one dtype",
               row.assign(row.astype(DType::float32)));
}

}  // namespace

int main() {
  assignment();
  return summary("core_assign_test");
}
