// Elementwise operations, reductions and matmul: shapes, broadcasting, empty arrays and refusals,
// against plain loops.
#include "random_arrays.h"

using namespace needle;
using namespace needle_test;

namespace {

void elementwise() {
  for (int round = 0; round < 1000; ++round) {
    const Dims shape = random_shape(4, draw(0, 3) == 0 ? 0 : 1);
    Dims small;  // broadcasts to shape
    for (int i = static_cast<int>(draw(0, shape.size())); i < shape.size(); ++i)
      small.push_back(draw(0, 2) == 0 ? 1 : shape[i]);
    Dims large = shape;  // its axes of size 1 may grow to the other's
    for (int i = 0; i < shape.size(); ++i) {
      const int j = i - shape.size() + small.size();
      if (j >= 0 && small[j] == shape[i] && draw(0, 4) == 0) large[i] = 1;
    }
    NDArray a = laid_out(large), b = laid_out(small);
    if (draw(0, 1) == 1) std::swap(a, b);
    const NDArray c = NDArray::binary(BinaryOp::subtract, a, b);
    CHECK(c.shape() == shape && c.is_compact() && c.dtype() == DType::float64);
    const NDArray p = a.broadcast_to(shape), q = b.broadcast_to(shape);
    bool right = true;
    for_each_index(shape.begin(), shape.size(), [&](const std::int64_t* i) {
      right = right && at(c, i) == at(p, i) - at(q, i);
    });
    CHECK(right);
    const NDArray n = a.unary(UnaryOp::negate), s = a.binary_scalar(BinaryOp::subtract, 3, true);
    for_each_index(a.shape().begin(), a.ndim(), [&](const std::int64_t* i) {
      right = right && at(n, i) == -at(a, i) && at(s, i) == 3 - at(a, i);
    });
    CHECK(right && n.is_compact());
  }
  const NDArray a = numbers({2, 3}, DType::float32);
  CHECK(NDArray::binary(BinaryOp::add, a, a).dtype() == DType::float32);
  CHECK_THROWS(std::invalid_argument,
               "[add] shapes must broadcast: aligned at the end, sizes agree or one of them is 1, "
               "got a.shape=(2, 3), b.shape=(2,)",
               NDArray::binary(BinaryOp::add, a, numbers({2}, DType::float32)));
  CHECK_THROWS(TypeMismatch,
               "[multiply] operands must have one dtype (use .astype()), got a.dtype=float32, "
               "b.dtype=float64",
               NDArray::binary(BinaryOp::multiply, a, numbers({2, 3})));
  CHECK_THROWS(std::invalid_argument,
               "[multiply] operands must be on one device (use .to()), got a.device=test(), "
               "b.device=other()",
               NDArray::binary(BinaryOp::multiply, a, a.to(other)));
  for (const DType dtype :
       {DType::int32, DType::int64, DType::boolean, DType::float16, DType::bfloat16}) {
    const NDArray i = a.astype(dtype);
    CHECK(i.dtype() == dtype);
    CHECK_THROWS(TypeMismatch, "[add] computes in float32", NDArray::binary(BinaryOp::add, i, i));
    CHECK_THROWS(TypeMismatch,
                 message("negate", "computes in float32 and float64 (use .astype())", "dtype",
                         name(dtype), "device", "test()"),
                 i.unary(UnaryOp::negate));
    CHECK_THROWS(TypeMismatch, "[add] computes in float32",
                 i.binary_scalar(BinaryOp::add, 1, false));
    CHECK_THROWS(TypeMismatch, "[sum] computes in float32", i.reduce(ReduceOp::sum, {}, false));
    CHECK_THROWS(TypeMismatch, "[matmul] computes in float32", NDArray::matmul(i, i));
    CHECK_THROWS(TypeMismatch, "[conv] computes in float32", NDArray::conv2d(i, i, Conv2dParams{}));
  }
}

void reductions() {
  for (int round = 0; round < 600; ++round) {
    const NDArray a = laid_out(random_shape(4, draw(0, 2) == 0 ? 0 : 1));
    std::optional<Dims> axes;
    unsigned reduced = (1u << a.ndim()) - 1u;
    if (draw(0, 4) > 0) {
      axes.emplace();
      reduced = 0;
      for (int i = 0; i < a.ndim(); ++i) {
        if (draw(0, 1) == 0) continue;
        axes->push_back(draw(0, 1) == 1 ? i - a.ndim() : i);
        reduced |= 1u << i;
      }
    }
    Dims kept = a.shape(), dropped;
    std::int64_t each = 1;
    for (int i = 0; i < a.ndim(); ++i) {
      if ((reduced >> i & 1u) != 0) {
        each *= a.shape()[i];
        kept[i] = 1;
      } else {
        dropped.push_back(a.shape()[i]);
      }
    }
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::prod, ReduceOp::max, ReduceOp::min}) {
      const bool undefined = (op == ReduceOp::max || op == ReduceOp::min) && each == 0 &&
                             std::find(kept.begin(), kept.end(), 0) == kept.end();
      if (undefined) {
        CHECK_THROWS(std::invalid_argument, "needs at least one element along the reduced axes",
                     a.reduce(op, axes, false));
        continue;
      }
      const NDArray wide = a.reduce(op, axes, true), narrow = a.reduce(op, axes, false);
      CHECK(wide.shape() == kept && narrow.shape() == dropped && narrow.is_compact() &&
            narrow.size() == wide.size());
      bool right = true;
      for_each_index(kept.begin(), kept.size(), [&](const std::int64_t* to) {
        double expected = ReferenceBackend::identity(op);
        for_each_index(a.shape().begin(), a.ndim(), [&](const std::int64_t* from) {
          for (int i = 0; i < a.ndim(); ++i) {
            if ((reduced >> i & 1u) == 0 && from[i] != to[i]) return;
          }
          expected = ReferenceBackend::combine(op, expected, at(a, from));
        });
        right = right && at(wide, to) == expected;
      });
      CHECK(right);
    }
  }
  CHECK_THROWS(std::out_of_range, "[sum] axis must lie",
               numbers({2}).reduce(ReduceOp::sum, Dims{1}, false));
  CHECK_THROWS(std::invalid_argument, "[max] axes must be distinct",
               numbers({2}).reduce(ReduceOp::max, Dims{0, -1}, false));
}

void matmul() {
  for (int round = 0; round < 600; ++round) {
    const Dims batch = random_shape(2, 1);
    const std::int64_t m = draw(0, 4), k = draw(0, 4), n = draw(0, 4);
    const auto operand = [&](std::int64_t rows, std::int64_t columns) {
      Dims shape;
      for (int i = static_cast<int>(draw(0, batch.size())); i < batch.size(); ++i)
        shape.push_back(draw(0, 2) == 0 ? 1 : batch[i]);
      shape.push_back(rows);
      shape.push_back(columns);
      return laid_out(shape);
    };
    NDArray a = operand(m, k), b = operand(k, n);
    const bool row = draw(0, 3) == 0, column = draw(0, 3) == 0;
    if (row) a = laid_out({k});
    if (column) b = laid_out({k});
    const NDArray c = NDArray::matmul(a, b);
    // The definition, over operands given their missing axes back.
    const NDArray left = row ? a.reshape({1, k}) : a, right = column ? b.reshape({k, 1}) : b;
    const auto leading = [](const NDArray& x) {
      return Dims(std::span(x.shape().begin(), static_cast<std::size_t>(x.ndim() - 2)));
    };
    Dims full = broadcast_shapes("", leading(left), leading(right)), expected_shape = full;
    if (!row) expected_shape.push_back(m);
    if (!column) expected_shape.push_back(n);
    if (!CHECK(c.shape() == expected_shape && c.is_compact())) return;
    full.push_back(left.shape()[left.ndim() - 2]);
    full.push_back(right.shape()[right.ndim() - 1]);
    const NDArray product = c.reshape(full);
    bool good = true;
    for_each_index(full.begin(), full.size(), [&](const std::int64_t* i) {
      const auto pick = [&](const NDArray& x, std::int64_t r, std::int64_t col) {
        std::int64_t index[kMaxDims] = {};
        const int extra = full.size() - x.ndim();
        for (int d = 0; d < x.ndim() - 2; ++d) index[d] = x.shape()[d] == 1 ? 0 : i[d + extra];
        index[x.ndim() - 2] = r;
        index[x.ndim() - 1] = col;
        return at(x, index);
      };
      double sum = 0;
      for (std::int64_t j = 0; j < k; ++j)
        sum += pick(left, i[full.size() - 2], j) * pick(right, j, i[full.size() - 1]);
      good = good && at(product, i) == sum;
    });
    CHECK(good);
  }
  const auto refuse = [](const Dims& a, const Dims& b, const char* text) {
    CHECK_THROWS(std::invalid_argument, text, NDArray::matmul(numbers(a), numbers(b)));
  };
  refuse({}, {2}, "[matmul] operands must have at least one axis");
  refuse({2, 3}, {2, 3},
         "[matmul] the last axis of a must match the last but one of b, got a.shape=(2, 3), "
         "b.shape=(2, 3)");
  refuse({3}, {2}, "[matmul]");
  refuse({2, 1, 1}, {3, 1, 1}, "[matmul] the axes before the last two must broadcast");
}

}  // namespace

int main() {
  return run_in_both_modes("core_compute_test", [] {
    elementwise();
    reductions();
    matmul();
  });
}
