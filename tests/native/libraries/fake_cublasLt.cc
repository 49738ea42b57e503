// A stand-in for libcublasLt.so.13: see fake.h.
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "fake.h"

#define API extern "C" __attribute__((visibility("default")))

API Fake fake;
Fake fake;

namespace {

using needle_fake::load;
using needle_fake::store;

struct Operation {
  int compute, scale;
  std::int32_t transposed[2] = {0, 0};
};

struct Layout {
  int type;
  std::uint64_t rows, columns;
  std::int64_t ld;
  std::int32_t batch = 1;
  std::int64_t stride = 0;
};

struct Preference {
  std::uint64_t workspace = 0;
  std::uint32_t schemes = 7, alignment[4] = {256, 256, 256, 256};
};

struct Algorithm {
  std::uint64_t workspace, alignment[4], rest[3];  // 8 words
};

struct Heuristic {
  Algorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

std::size_t size_of(int type) { return type == 0 ? 4 : type == 1 ? 8 : 2; }

template <class T>
void set(T& field, const void* value, std::size_t bytes) {
  FAKE_REQUIRE(bytes == sizeof(T));
  std::memcpy(&field, value, bytes);
}

void check_layout(const Layout& l) {
  FAKE_REQUIRE(l.rows > 0 && l.columns > 0 && l.rows < (1u << 31) && l.columns < (1u << 31));
  FAKE_REQUIRE(l.ld >= static_cast<std::int64_t>(l.rows));
  FAKE_REQUIRE(l.batch >= 1);
}

void check_product(const Operation& o, const Layout& a, const Layout& b, const Layout& c,
                   const Layout& d) {
  for (const Layout* l : {&a, &b, &c, &d}) {
    check_layout(*l);
    FAKE_REQUIRE(l->batch == a.batch && l->type == a.type);
  }
  const auto rows = o.transposed[0] ? a.columns : a.rows;
  const auto depth = o.transposed[0] ? a.rows : a.columns;
  FAKE_REQUIRE((o.transposed[1] ? b.columns : b.rows) == depth);
  FAKE_REQUIRE(rows == d.rows && (o.transposed[1] ? b.rows : b.columns) == d.columns);
  const bool is_double = a.type == 1;
  FAKE_REQUIRE(o.scale == (is_double ? 1 : 0));
  FAKE_REQUIRE(is_double ? o.compute == 70 : o.compute == 68 || (a.type == 0 && o.compute == 77));
}

}  // namespace

API std::size_t cublasLtGetVersion() { return 130100; }
API const char* cublasLtGetStatusString(int status) {
  return status == 13 ? "execution failed" : "another status";
}

API int cublasLtCreate(void** handle) {
  *handle = &fake;
  ++fake.handles;
  return fake.create_status;
}

API int cublasLtMatmulDescCreate(Operation** made, int compute, int scale) {
  *made = new Operation{compute, scale};
  ++fake.live;
  return 0;
}
API int cublasLtMatmulDescSetAttribute(Operation* o, int name, const void* value,
                                       std::size_t bytes) {
  FAKE_REQUIRE(name == 3 || name == 4);
  set(o->transposed[name - 3], value, bytes);
  return 0;
}
API int cublasLtMatmulDescDestroy(Operation* o) {
  delete o;
  --fake.live;
  return 0;
}

API int cublasLtMatrixLayoutCreate(Layout** made, int type, std::uint64_t rows,
                                   std::uint64_t columns, std::int64_t ld) {
  *made = new Layout{type, rows, columns, ld};
  ++fake.live;
  return 0;
}
API int cublasLtMatrixLayoutSetAttribute(Layout* l, int name, const void* value,
                                         std::size_t bytes) {
  FAKE_REQUIRE(name == 5 || name == 6);
  name == 5 ? set(l->batch, value, bytes) : set(l->stride, value, bytes);
  return 0;
}
API int cublasLtMatrixLayoutDestroy(Layout* l) {
  delete l;
  --fake.live;
  return 0;
}

API int cublasLtMatmulPreferenceCreate(Preference** made) {
  *made = new Preference;
  ++fake.live;
  return 0;
}
API int cublasLtMatmulPreferenceSetAttribute(Preference* p, int name, const void* value,
                                             std::size_t bytes) {
  if (name == 1) {
    set(p->workspace, value, bytes);
  } else if (name == 3) {
    set(p->schemes, value, bytes);
  } else {
    FAKE_REQUIRE(name >= 5 && name <= 8);
    set(p->alignment[name - 5], value, bytes);
  }
  return 0;
}
API int cublasLtMatmulPreferenceDestroy(Preference* p) {
  delete p;
  --fake.live;
  return 0;
}

API int cublasLtMatmulAlgoGetHeuristic(void* handle, Operation* o, Layout* a, Layout* b, Layout* c,
                                       Layout* d, Preference* p, int wanted, Heuristic* found,
                                       int* count) {
  FAKE_REQUIRE(handle == &fake && wanted == 1);
  FAKE_REQUIRE(p->schemes == 2);  // partial sums in the compute type, or none
  check_product(*o, *a, *b, *c, *d);
  ++fake.heuristics;
  *count = fake.no_algorithm || fake.heuristic_status != 0 ? 0 : 1;
  if (*count == 1) {
    *found = {};
    FAKE_REQUIRE(fake.workspace <= p->workspace);
    found->workspace = found->algorithm.workspace = fake.workspace;
    for (int i = 0; i < 4; ++i) found->algorithm.alignment[i] = p->alignment[i];
  }
  return fake.heuristic_status;
}

API int cublasLtMatmul(void* handle, Operation* o, const void* alpha, const void* a, Layout* la,
                       const void* b, Layout* lb, const void* beta, const void* c, Layout* lc,
                       void* d, Layout* ld, const Algorithm* algorithm, void* workspace,
                       std::size_t bytes, void*) {
  FAKE_REQUIRE(handle == &fake && c == d);
  check_product(*o, *la, *lb, *lc, *ld);
  FAKE_REQUIRE(load(alpha, o->scale, 0) == 1 && load(beta, o->scale, 0) == 0);
  FAKE_REQUIRE(bytes >= algorithm->workspace && (bytes == 0 || workspace != nullptr));
  if (bytes > 0) std::memset(workspace, 0x5a, bytes);
  const void* pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    FAKE_REQUIRE(reinterpret_cast<std::uintptr_t>(pointers[i]) % algorithm->alignment[i] == 0);
    FAKE_REQUIRE(algorithm->alignment[i] >= size_of(la->type));
  }
  ++fake.calls;
  fake.compute = o->compute;
  if (const int status = fake.answer()) return status;

  const auto depth = static_cast<std::int64_t>(o->transposed[0] ? la->rows : la->columns);
  const auto element = [](const void* data, const Layout& l, std::int64_t batch, bool transposed,
                          std::int64_t row, std::int64_t column) {
    const std::int64_t at = transposed ? column + row * l.ld : row + column * l.ld;
    return load(data, l.type, batch * l.stride + at);
  };
  for (std::int64_t n = 0; n < ld->batch; ++n) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(ld->rows); ++i) {
      for (std::int64_t j = 0; j < static_cast<std::int64_t>(ld->columns); ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < depth; ++k) {
          sum += element(a, *la, n, o->transposed[0] != 0, i, k) *
                 element(b, *lb, n, o->transposed[1] != 0, k, j);
        }
        store(d, ld->type, n * ld->stride + i + j * ld->ld, sum);
      }
    }
  }
  return 0;
}
