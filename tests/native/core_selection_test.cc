// where, take_along_axis, scatter_add, cumsum, argmax: shapes, broadcasting, empty arrays and
// refusals, against plain loops.
#include "random_arrays.h"

using namespace needle;
using namespace needle_test;

namespace {

// An index array of this shape with values in [low, high].
NDArray places(const Dims& shape, std::int64_t low, std::int64_t high) {
  NDArray index = NDArray::empty(shape, DType::int64, device);
  auto* values = static_cast<std::int64_t*>(index.data());
  for (std::int64_t i = 0; i < index.size(); ++i) values[i] = draw(low, high);
  return index;
}

std::int64_t place(const NDArray& index, const std::int64_t* at) {
  return *backend.address<std::int64_t>(index.view(), at);
}

// A shape that broadcasts to this one; axis, if any, keeps its size.
Dims narrowed(const Dims& shape, int axis = -1) {
  Dims out = shape;
  for (int d = 0; d < shape.size(); ++d) {
    if (d != axis && draw(0, 3) == 0) out[d] = 1;
  }
  return out;
}

void selects() {
  for (int round = 0; round < 600; ++round) {
    const Dims shape = random_shape(4, draw(0, 3) == 0 ? 0 : 1);
    const NDArray a = laid_out(narrowed(shape)), b = laid_out(narrowed(shape));
    NDArray mask = laid_out(narrowed(shape));
    const NDArray m = mask.broadcast_to(shape);
    if (draw(0, 1) == 1) mask = mask.astype(DType::boolean);
    const NDArray c = NDArray::where(mask, a, b.broadcast_to(shape));
    const NDArray x = a.broadcast_to(shape), y = b.broadcast_to(shape);
    if (!CHECK(c.shape() == shape && c.is_compact())) return;
    bool right = true;
    for_each_index(shape.begin(), shape.size(), [&](const std::int64_t* i) {
      right = right && at(c, i) == (at(m, i) != 0 ? at(x, i) : at(y, i));
    });
    CHECK(right);
  }
  const NDArray a = numbers({2, 3});
  CHECK_THROWS(TypeMismatch, "[where] mask must be bool or have the operands' dtype",
               NDArray::where(a.astype(DType::int64), a, a));
  CHECK_THROWS(TypeMismatch, "[where] computes in float32",
               NDArray::where(a, a.astype(DType::int64), a.astype(DType::int64)));
  CHECK_THROWS(std::invalid_argument, "[where] operands must be on one device",
               NDArray::where(a.to(other), a, a));
  CHECK_THROWS(std::invalid_argument, "[where] shapes must broadcast",
               NDArray::where(numbers({4}), a, a));
}

void by_index() {
  for (int round = 0; round < 600; ++round) {
    Dims shape = random_shape(3, draw(0, 3) == 0 ? 0 : 1);
    shape.push_back(draw(0, 4));
    const int axis = static_cast<int>(draw(0, shape.size() - 1));
    const std::int64_t n = draw(1, 5);
    Dims source = shape;
    source[axis] = n;
    const NDArray a = laid_out(narrowed(source, axis)), wide = a.broadcast_to(source);
    NDArray index = places(narrowed(shape, axis), -n, n - 1);
    const NDArray spread = index.broadcast_to(shape);
    const auto resolved = [&](const std::int64_t* i) {
      const std::int64_t p = place(spread, i);
      return p < 0 ? p + n : p;
    };
    const NDArray taken = a.broadcast_to(source).take_along_axis(index, axis - shape.size());
    const NDArray add = laid_out(shape), sums = add.scatter_add(index, axis, n);
    if (!CHECK(taken.shape() == shape && sums.shape() == source)) return;
    CHECK(a.take_along_axis(spread, axis).shape() == shape);
    bool right = true;
    std::vector<double> expected(static_cast<std::size_t>(sums.size()));
    for_each_index(shape.begin(), shape.size(), [&](const std::int64_t* i) {
      std::int64_t to[kMaxDims], flat = 0;
      std::copy(i, i + shape.size(), to);
      to[axis] = resolved(i);
      right = right && at(taken, i) == at(wide, to);
      for (int d = 0; d < shape.size(); ++d) flat += to[d] * sums.strides()[d];
      expected[static_cast<std::size_t>(flat)] += at(add, i);
    });
    const auto* got = static_cast<const double*>(sums.data());
    CHECK(right && std::equal(expected.begin(), expected.end(), got));
  }
  const NDArray a = numbers({2, 3}), i = places({2, 3}, 0, 1);
  CHECK_THROWS(TypeMismatch, "[take_along_axis] index must have dtype int64",
               a.take_along_axis(a, 0));
  CHECK_THROWS(std::invalid_argument, "[take_along_axis] index must have as many axes",
               a.take_along_axis(places({3}, 0, 1), 0));
  CHECK_THROWS(std::invalid_argument, "[take_along_axis] shapes must broadcast",
               a.take_along_axis(places({2, 4}, 0, 1), 0));
  CHECK_THROWS(std::out_of_range, "[take_along_axis] axis must lie", a.take_along_axis(i, 2));
  for (const std::int64_t wrong : {std::int64_t{3}, std::int64_t{-4}, INT64_MIN, INT64_MAX}) {
    CHECK_THROWS(std::out_of_range, "[take_along_axis] an index must lie in [-n, n)",
                 a.take_along_axis(places({2, 1}, wrong, wrong), 1));
    CHECK_THROWS(std::out_of_range, "[scatter_add] an index must lie in [-n, n)",
                 a.scatter_add(places({2, 1}, wrong, wrong), 1, 3));
  }
  CHECK_THROWS(std::out_of_range, "[scatter_add] an index", a.scatter_add(i, 1, 0));
  CHECK_THROWS(std::invalid_argument, "sizes must not be negative",
               numbers({2, 0}).scatter_add(places({2, 0}, 0, 0), 1, -1));
  CHECK_THROWS(std::invalid_argument, "[scatter_add] index must broadcast to the array",
               numbers({1, 3}).scatter_add(i, 1, 3));
  CHECK_THROWS(TypeMismatch, "[scatter_add] computes in float32", i.scatter_add(i, 1, 3));
  CHECK(i.take_along_axis(i, 1).dtype() == DType::int64);
}

void along_an_axis() {
  for (int round = 0; round < 400; ++round) {
    Dims shape = random_shape(3, draw(0, 3) == 0 ? 0 : 1);
    shape.push_back(draw(0, 4));
    const int axis = static_cast<int>(draw(0, shape.size() - 1));
    const NDArray a = laid_out(shape), forward = a.cumsum(axis, false),
                  back = a.cumsum(axis - shape.size(), true);
    CHECK(forward.shape() == shape && back.shape() == shape);
    bool right = true;
    for_each_index(shape.begin(), shape.size(), [&](const std::int64_t* i) {
      std::int64_t from[kMaxDims];
      std::copy(i, i + shape.size(), from);
      double before = 0, after = 0;
      for (from[axis] = 0; from[axis] < shape[axis]; ++from[axis]) {
        if (from[axis] <= i[axis]) before += at(a, from);
        if (from[axis] >= i[axis]) after += at(a, from);
      }
      right = right && at(forward, i) == before && at(back, i) == after;
    });
    CHECK(right);
    Dims kept = shape;
    kept[axis] = 1;
    if (shape[axis] == 0 && std::find(kept.begin(), kept.end(), 0) == kept.end()) {
      CHECK_THROWS(std::invalid_argument, "[argmin] needs at least one element",
                   a.arg_reduce(ArgOp::argmin, axis, false));
      continue;
    }
    const NDArray first = a.arg_reduce(ArgOp::argmax, axis, true);
    CHECK(first.shape() == kept && first.dtype() == DType::int64);
    CHECK(a.arg_reduce(ArgOp::argmax, axis, false).ndim() == shape.size() - 1);
    for_each_index(kept.begin(), kept.size(), [&](const std::int64_t* i) {
      std::int64_t from[kMaxDims], best = 0;
      std::copy(i, i + shape.size(), from);
      double largest = -HUGE_VAL;
      for (from[axis] = 0; from[axis] < shape[axis]; ++from[axis]) {
        if (at(a, from) > largest) {
          best = from[axis];
          largest = at(a, from);
        }
      }
      right = right && place(first, i) == best;
    });
    CHECK(right);
  }
  CHECK(numbers({2, 3}).arg_reduce(ArgOp::argmin, std::nullopt, true).shape() == Dims({1, 1}));
  CHECK(numbers({}).arg_reduce(ArgOp::argmin, std::nullopt, false).shape() == Dims());
  CHECK_THROWS(std::invalid_argument, "[argmax] needs at least one element",
               numbers({0}).arg_reduce(ArgOp::argmax, std::nullopt, false));
  CHECK_THROWS(std::out_of_range, "[cumsum] axis must lie", numbers({}).cumsum(0, false));
  CHECK_THROWS(std::out_of_range, "[argmax] axis must lie",
               numbers({2}).arg_reduce(ArgOp::argmax, 1, false));
}

}  // namespace

int main() {
  return run_in_both_modes("core_selection_test", [] {
    selects();
    by_index();
    along_an_axis();
  });
}
