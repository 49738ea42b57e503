// Construction and transfers between devices, through memory that the host cannot touch.
#include "random_arrays.h"

using namespace needle;
using namespace needle_test;

namespace {

ReferenceBackend far_backend(false);
Device far_device("far", 0, &far_backend);

void construction_and_transfer() {
  CHECK_THROWS(std::invalid_argument, "[empty] sizes must not be negative, got shape=(2, -1)",
               NDArray::empty({2, -1}, DType::float32, device));
  CHECK_THROWS(std::invalid_argument, "[empty] an array must hold fewer",
               NDArray::empty({1ll << 31, 1ll << 31}, DType::float32, device));
  CHECK_THROWS(std::invalid_argument, "[empty] an array must hold fewer",
               NDArray::empty({1ll << 62, 1ll << 62, 0}, DType::boolean, device));
  CHECK_THROWS(std::invalid_argument, "[empty] an array must hold fewer",
               NDArray::empty({0, 1ll << 62, 1ll << 62}, DType::boolean, device));
  CHECK_THROWS(OutOfMemory, "[allocate]", NDArray::empty({1ll << 50}, DType::float64, device));
  CHECK(NDArray::empty({0, 1ll << 40}, DType::float32, device).size() == 0);
  CHECK_THROWS(std::invalid_argument, "[fill] value must be a whole number",
               NDArray::full({2}, Scalar{2.5, 0, false}, DType::int32, device));
  CHECK_THROWS(std::invalid_argument, "[fill] value must be",
               NDArray::full({2}, Scalar{0, 1ll << 31, true}, DType::int32, device));
  CHECK_THROWS(std::invalid_argument, "[fill] value must be",
               NDArray::full({2}, Scalar{0x1p63, 0, false}, DType::int64, device));
  CHECK_THROWS(std::invalid_argument, "[fill] value must be",
               NDArray::full({2}, Scalar{std::nan(""), 0, false}, DType::int64, device));
  const NDArray big =
      NDArray::full({2}, Scalar{9.2e18, 9223372036854775807, true}, DType::int64, device);
  CHECK(static_cast<std::int64_t*>(big.data())[1] == 9223372036854775807);
  CHECK(at(NDArray::full({}, Scalar{2.5, 0, false}, DType::float64, device), nullptr) == 2.5);

  // There and back, through memory that the host cannot touch; and between two devices.
  for (const Dims& shape : {Dims{}, Dims{3, 4}, Dims{0, 4}}) {
    const NDArray a = laid_out(shape);
    CHECK(a.to(device).storage().get() == a.storage().get());
    const NDArray away = a.to(far_device);
    CHECK(&away.device() == &far_device && away.is_compact() && away.shape() == shape);
    for (const NDArray& back : {a.to(other).to(device), away.to(device), away.copy().to(device)}) {
      CHECK(back.shape() == shape && &back.device() == &device &&
            back.storage().get() != a.storage().get());
      bool equal = true;
      for_each_index(shape.begin(), shape.size(),
                     [&](const std::int64_t* i) { equal = equal && at(a, i) == at(back, i); });
      CHECK(equal);
    }
  }
  CHECK_THROWS(std::invalid_argument, "[setitem] operands must be on one device",
               numbers({2}).assign(numbers({2}).to(other)));
}

}  // namespace

int main() {
  return run_in_both_modes("core_transfer_test", [] { construction_and_transfer(); });
}
