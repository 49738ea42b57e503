// csrc/cuda/libraries against stand-ins for cuBLASLt and cuDNN (fake_*.cc) on the simulator: that
// the arguments of the calls say what the arrays are, that plans are kept, and that what a library
// refuses is computed by our kernels. Numbers are small integers, so that every result is exact.
#include "../../../csrc/cuda/libraries/libraries.h"

#include <dlfcn.h>

#include "cases.h"
#include "fake.h"

namespace {

using namespace libraries_test;
namespace libraries = NEEDLE_NS::libraries;

Fake *lt, *dnn;

Fake* fake_of(const char* name) {
  void* library = dlopen((std::string(STAND_INS "/") + name).c_str(), RTLD_NOW);
  return library == nullptr ? nullptr : static_cast<Fake*>(dlsym(library, "fake"));
}

std::int64_t taken(const char* name) { return libraries::reports().at(name).taken; }
std::int64_t refused(const char* name) { return libraries::reports().at(name).refused; }

void products() {
  const auto before = taken("cublasLt");
  for (int round = 0; round < 3000; ++round) {
    lt->workspace = draw(0, 1) == 1 ? 64 : 0;
    CHECK(random_product().right());
  }
  CHECK(taken("cublasLt") > before + 2400);
}

void products_special() {
  const auto before = refused("cublasLt");
  Product empty(DType::float32, {}, 2, 3, 0, true);  // zeros
  CHECK(empty.right() && refused("cublasLt") == before + 1);

  // rows of a batch join: one call, not four
  const int calls = lt->calls;
  Product shared(DType::float32, {4}, 3, 2, 5, true);
  shared.b.view.strides[0] = 0;
  CHECK(shared.right() && lt->calls == calls + 1);
  Product vectors(DType::float32, {4}, 1, 2, 5, true);
  vectors.b.view.strides[0] = 0;
  CHECK(vectors.right() && lt->calls == calls + 2);

  // the same problem again asks for no algorithm
  const int asked = lt->heuristics;
  for (int i = 0; i < 3; ++i) {
    Product again(DType::float64, {2}, 5, 6, 7, true);
    CHECK(again.right());
  }
  CHECK(lt->heuristics == asked + 1);
  CHECK(lt->handles == 1);
}

void products_refused() {
  const auto before = refused("cublasLt");
  lt->heuristic_status = 15;
  CHECK(Product(DType::float32, {}, 11, 3, 4, true).right());
  CHECK(Product(DType::float32, {}, 11, 3, 4, true).right());  // remembered
  lt->heuristic_status = 0;
  lt->no_algorithm = true;
  CHECK(Product(DType::float32, {}, 12, 3, 4, true).right());
  lt->no_algorithm = false;
  lt->call_status = 15;
  lt->failing_calls = 1;
  CHECK(Product(DType::float32, {}, 13, 3, 4, true).right());
  CHECK(refused("cublasLt") == before + 4);

  lt->call_status = 13;
  lt->failing_calls = 1;
  CHECK_THROWS(std::runtime_error, "[matmul] cuBLASLt failed, got status=execution failed",
               Product(DType::float32, {}, 14, 3, 4, true).right());
  lt->heuristic_status = 7;
  CHECK_THROWS(std::runtime_error, "[matmul] cuBLASLt failed, got status=another status",
               Product(DType::float32, {}, 15, 3, 4, true).right());
  lt->heuristic_status = 0;
}

void tf32() {
  CHECK(!libraries::allow_tf32(0));
  CHECK(Product(DType::float32, {}, 3, 3, 3, true).right() && lt->compute == 68);
  libraries::set_allow_tf32(0, true);
  CHECK(Product(DType::float32, {}, 3, 3, 3, true).right() && lt->compute == 77);
  CHECK(Product(DType::float64, {}, 3, 3, 3, true).right() && lt->compute == 70);
  CHECK(Product(DType::float16, {}, 3, 3, 3, true).right() && lt->compute == 68);
  libraries::set_allow_tf32(0, false);
}

void convolutions() {
  for (int round = 0; round < 400; ++round) {
    dnn->workspace = draw(0, 1) == 1 ? 96 : 0;
    const auto before = taken("cudnn");
    CHECK(random_conv(any_dtype()).right());
    CHECK(taken("cudnn") == before + 3);
  }
  dnn->workspace = 0;

  const Conv2dParams p{{1, 1}, {1, 1}, {1, 1}, 1};
  const int asked = dnn->heuristics;
  for (int i = 0; i < 2; ++i) CHECK(Conv(DType::float32, p, {2, 4, 4, 3}, {3, 3, 3, 5}).right());
  CHECK(dnn->heuristics == asked + 3);
  CHECK(dnn->compute == 3);  // FMA: no TF32
  libraries::set_allow_tf32(0, true);
  CHECK(Conv(DType::float32, p, {2, 4, 4, 3}, {3, 3, 3, 5}).right());
  CHECK(dnn->compute == 1);
  libraries::set_allow_tf32(0, false);

  Conv off(DType::float32, p, {1, 4, 4, 3}, {3, 3, 3, 5});  // a view that starts one element later
  Array longer(DType::float32, {2 * 4 * 4 * 3}, true, false);
  off.x.view.data = static_cast<float*>(longer.view.data) + 1;
  CHECK(off.right());
}

void convolutions_refused() {
  const Conv2dParams p{{1, 1}, {0, 0}, {1, 1}, 1};
  const auto make = [&](std::int64_t n, DType dtype = DType::float32) {
    return Conv(dtype, p, {n, 4, 4, 3}, {2, 2, 3, 5}).right();
  };
  const auto before = refused("cudnn");
  dnn->heuristic_status = 3003;
  CHECK(make(1) && refused("cudnn") == before + 3);
  dnn->heuristic_status = 0;
  dnn->no_algorithm = true;
  CHECK(make(2) && refused("cudnn") == before + 6);
  dnn->no_algorithm = false;
  dnn->call_status = 3000;  // one candidate refuses, the next one serves
  dnn->failing_calls = 1;
  CHECK(make(3, DType::float64) && refused("cudnn") == before + 6);
  dnn->failing_calls = 2;  // both refuse
  CHECK(make(4, DType::float64) && refused("cudnn") == before + 7);
  dnn->no_channels_last = true;  // then channels come first
  CHECK(make(6) && refused("cudnn") == before + 7);
  dnn->no_channels_last = false;
  dnn->call_status = 5000;
  dnn->failing_calls = 1;
  CHECK_THROWS(std::runtime_error, "[conv2d] cuDNN failed, got status=execution failed", make(5));
}

void plans_are_bounded() {
  for (std::int64_t n = 1; n <= 4200; ++n) {
    Product p(DType::float32, {}, 1, n, 1, true);
    device().matmul(p.dst.view, p.a.view, p.b.view);
  }
  CHECK(lt->live <= 4 * 4096);
}

// In a process of its own: without libraries our kernels compute, and the report says why.
void unusable(const std::string& reason) {
  for (int round = 0; round < 200; ++round) {
    CHECK(random_product().right());
    CHECK(random_conv(any_dtype()).right());
  }
  for (const auto& [name, report] : libraries::reports()) {
    CHECK(report.reason == reason && report.taken == 0);
  }
  CHECK(lt->calls + dnn->calls + lt->heuristics + dnn->heuristics == 0);
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  if (what == "off") setenv("NEEDLE_CUDA_LIBS", "0", 1);
  libraries::set_folders({"/nowhere", STAND_INS});
  lt = fake_of("libcublasLt.so.13");
  dnn = fake_of("libcudnn.so.9");
  if (!CHECK(lt != nullptr && dnn != nullptr)) return needle_test::summary("libraries_test");
  if (what == "off") {
    unusable("NEEDLE_CUDA_LIBS=0: needle's own kernels only");
    return needle_test::summary("libraries_test off");
  }
  if (what == "broken") {
    lt->create_status = dnn->create_status = 1;
    unusable("it cannot be started: another status");
    return needle_test::summary("libraries_test broken");
  }
  const auto reports = libraries::reports();
  CHECK(reports.at("cublasLt").version == "13.1.0 (" STAND_INS "/libcublasLt.so.13)");
  CHECK(reports.at("cudnn").version == "9.14.0 (" STAND_INS "/libcudnn.so.9)");
  products();
  products_special();
  products_refused();
  tf32();
  convolutions();
  convolutions_refused();
  plans_are_bounded();
  return needle_test::summary("libraries_test");
}
