// A stand-in for libcudnn.so.9: see fake.h. Of the algorithms that it offers, only the last two may
// be chosen by somebody who wants deterministic sums of products in full precision.
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

struct Tensor {
  int type, shape[4], strides[4];  // n, c, h, w
};

struct Filter {
  int type, format, shape[4];  // k, c, h, w
};

struct Convolution {
  int padding[2], stride[2], dilation[2], compute, maths = 0, groups = 1;
};

struct Candidate {
  int algorithm, status;
  float time;
  std::size_t workspace;
  int deterministic, maths, reserved[3];
};

std::int64_t at(const Tensor& t, int n, int c, int h, int w) {
  const int index[] = {n, c, h, w};
  std::int64_t offset = 0;
  for (int d = 0; d < 4; ++d) offset += std::int64_t{index[d]} * t.strides[d];
  return offset;
}

std::int64_t at(const Filter& f, int k, int c, int h, int w) {
  if (f.format == 0) return ((std::int64_t{k} * f.shape[1] + c) * f.shape[2] + h) * f.shape[3] + w;
  return ((std::int64_t{k} * f.shape[2] + h) * f.shape[3] + w) * f.shape[1] + c;
}

void check(const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y) {
  FAKE_REQUIRE(x.type == w.type && x.type == y.type);
  FAKE_REQUIRE(c.compute == (x.type == 1 ? 1 : 0));
  FAKE_REQUIRE(x.shape[0] == y.shape[0] && w.shape[0] == y.shape[1]);
  FAKE_REQUIRE(w.shape[1] * c.groups == x.shape[1] && w.shape[0] % c.groups == 0);
  for (int d = 0; d < 2; ++d) {
    const int reach = c.dilation[d] * (w.shape[2 + d] - 1) + 1;
    const int room = x.shape[2 + d] + 2 * c.padding[d] - reach;
    FAKE_REQUIRE(room >= 0 && y.shape[2 + d] == room / c.stride[d] + 1);
  }
  // channels-last images want channels-last filters, and there are no algorithms for double
  for (const Tensor* t : {&x, &y}) {
    const bool last =
        t->strides[1] == 1 && t->strides[0] == t->shape[1] * t->shape[2] * t->shape[3];
    const bool first = t->strides[3] == 1 && t->strides[1] == t->shape[2] * t->shape[3];
    FAKE_REQUIRE(w.format == 1 ? last && x.type != 1 : first);
  }
}

int candidates(const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y, int wanted,
               int* count, Candidate* found, int winograd, int fourier, int nondeterministic) {
  check(x, w, c, y);
  FAKE_REQUIRE(wanted == 8);
  ++fake.heuristics;
  *count = 0;
  if (fake.heuristic_status != 0) return fake.heuristic_status;
  const auto offer = [&](int algorithm, int status, std::size_t workspace, int deterministic,
                         int maths) {
    found[(*count)++] = {algorithm, status, 1, workspace, deterministic, maths, {}};
  };
  offer(winograd, 0, 0, 1, 0);
  offer(fourier, 0, 0, 1, 0);
  offer(nondeterministic, 0, 0, 0, 0);
  offer(1, 3000, 0, 1, 0);
  offer(1, 0, 0, 1, 2);
  if (fake.no_algorithm || (fake.no_channels_last && w.format == 1)) return 0;
  offer(1, 0, fake.workspace, 1, 1);
  offer(1, 0, fake.workspace, 1, 3);
  return 0;
}

int begin(void* handle, const void* alpha, const void* beta, int type, const Convolution& c,
          int algorithm, void* workspace, std::size_t bytes) {
  FAKE_REQUIRE(handle == &fake && algorithm == 1);
  const int scale = type == 1 ? 1 : 0;
  FAKE_REQUIRE(load(alpha, scale, 0) == 1 && load(beta, scale, 0) == 0);
  FAKE_REQUIRE(bytes == fake.workspace && (bytes == 0 || workspace != nullptr));
  if (bytes > 0) std::memset(workspace, 0x5a, bytes);
  ++fake.calls;
  fake.compute = c.maths;
  fake.algorithm = algorithm;
  return fake.answer();
}

// body(x's offset, w's offset, y's offset) for every product of the convolution.
template <class F>
void each_product(const Tensor& x, const Filter& w, const Convolution& c, const Tensor& y,
                  F&& body) {
  const int per_group = w.shape[0] / c.groups;
  for (int n = 0; n < y.shape[0]; ++n) {
    for (int k = 0; k < w.shape[0]; ++k) {
      for (int i = 0; i < y.shape[2] * y.shape[3]; ++i) {
        const int oh = i / y.shape[3], ow = i % y.shape[3];
        for (int j = 0; j < w.shape[1] * w.shape[2] * w.shape[3]; ++j) {
          const int s = j % w.shape[3], r = j / w.shape[3] % w.shape[2];
          const int ch = j / w.shape[3] / w.shape[2];
          const int h = oh * c.stride[0] - c.padding[0] + r * c.dilation[0];
          const int v = ow * c.stride[1] - c.padding[1] + s * c.dilation[1];
          if (h < 0 || v < 0 || h >= x.shape[2] || v >= x.shape[3]) continue;
          body(at(x, n, k / per_group * w.shape[1] + ch, h, v), at(w, k, ch, r, s),
               at(y, n, k, oh, ow));
        }
      }
    }
  }
}

void zero(void* data, int type, const int* shape) {
  std::size_t bytes = type == 0 ? 4 : type == 1 ? 8 : 2;
  for (int d = 0; d < 4; ++d) bytes *= static_cast<std::size_t>(shape[d]);
  std::memset(data, 0, bytes);  // every array here is packed
}

void accumulate(void* data, int type, std::int64_t i, double value) {
  store(data, type, i, load(data, type, i) + value);
}

}  // namespace

API std::size_t cudnnGetVersion() { return 91400; }
API const char* cudnnGetErrorString(int status) {
  return status == 5000 ? "execution failed" : "another status";
}
API int cudnnCreate(void** handle) {
  *handle = &fake;
  ++fake.handles;
  return fake.create_status;
}
API int cudnnSetStream(void* handle, void*) {
  FAKE_REQUIRE(handle == &fake);
  return 0;
}

API int cudnnCreateTensorDescriptor(Tensor** made) {
  *made = new Tensor{};
  ++fake.live;
  return 0;
}
API int cudnnSetTensor4dDescriptorEx(Tensor* t, int type, int n, int c, int h, int w, int n_stride,
                                     int c_stride, int h_stride, int w_stride) {
  *t = {type, {n, c, h, w}, {n_stride, c_stride, h_stride, w_stride}};
  return 0;
}
API int cudnnDestroyTensorDescriptor(Tensor* t) {
  delete t;
  --fake.live;
  return 0;
}
API int cudnnCreateFilterDescriptor(Filter** made) {
  *made = new Filter{};
  ++fake.live;
  return 0;
}
API int cudnnSetFilter4dDescriptor(Filter* f, int type, int format, int k, int c, int h, int w) {
  *f = {type, format, {k, c, h, w}};
  return 0;
}
API int cudnnDestroyFilterDescriptor(Filter* f) {
  delete f;
  --fake.live;
  return 0;
}
API int cudnnCreateConvolutionDescriptor(Convolution** made) {
  *made = new Convolution{};
  ++fake.live;
  return 0;
}
API int cudnnSetConvolution2dDescriptor(Convolution* c, int pad_h, int pad_w, int u, int v,
                                        int dilation_h, int dilation_w, int mode, int compute) {
  FAKE_REQUIRE(mode == 1);
  *c = {{pad_h, pad_w}, {u, v}, {dilation_h, dilation_w}, compute};
  return 0;
}
API int cudnnSetConvolutionMathType(Convolution* c, int maths) {
  c->maths = maths;
  return 0;
}
API int cudnnSetConvolutionGroupCount(Convolution* c, int groups) {
  c->groups = groups;
  return 0;
}
API int cudnnDestroyConvolutionDescriptor(Convolution* c) {
  delete c;
  --fake.live;
  return 0;
}

API int cudnnGetConvolutionForwardAlgorithm_v7(void*, Tensor* x, Filter* w, Convolution* c,
                                               Tensor* y, int wanted, int* count,
                                               Candidate* found) {
  return candidates(*x, *w, *c, *y, wanted, count, found, 6, 5, 1);
}
API int cudnnGetConvolutionBackwardDataAlgorithm_v7(void*, Filter* w, Tensor* dy, Convolution* c,
                                                    Tensor* dx, int wanted, int* count,
                                                    Candidate* found) {
  return candidates(*dx, *w, *c, *dy, wanted, count, found, 5, 2, 0);
}
API int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void*, Tensor* x, Tensor* dy, Convolution* c,
                                                      Filter* dw, int wanted, int* count,
                                                      Candidate* found) {
  return candidates(*x, *dw, *c, *dy, wanted, count, found, 4, 6, 3);
}

API int cudnnConvolutionForward(void* handle, const void* alpha, Tensor* tx, const void* x,
                                Filter* tw, const void* w, Convolution* c, int algorithm,
                                void* workspace, std::size_t bytes, const void* beta, Tensor* ty,
                                void* y) {
  if (int status = begin(handle, alpha, beta, tx->type, *c, algorithm, workspace, bytes)) {
    return status;
  }
  zero(y, ty->type, ty->shape);
  each_product(*tx, *tw, *c, *ty, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    accumulate(y, ty->type, k, load(x, tx->type, i) * load(w, tw->type, j));
  });
  return 0;
}
API int cudnnConvolutionBackwardData(void* handle, const void* alpha, Filter* tw, const void* w,
                                     Tensor* ty, const void* dy, Convolution* c, int algorithm,
                                     void* workspace, std::size_t bytes, const void* beta,
                                     Tensor* tx, void* dx) {
  if (int status = begin(handle, alpha, beta, tx->type, *c, algorithm, workspace, bytes)) {
    return status;
  }
  zero(dx, tx->type, tx->shape);
  each_product(*tx, *tw, *c, *ty, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    accumulate(dx, tx->type, i, load(dy, ty->type, k) * load(w, tw->type, j));
  });
  return 0;
}
API int cudnnConvolutionBackwardFilter(void* handle, const void* alpha, Tensor* tx, const void* x,
                                       Tensor* ty, const void* dy, Convolution* c, int algorithm,
                                       void* workspace, std::size_t bytes, const void* beta,
                                       Filter* tw, void* dw) {
  if (int status = begin(handle, alpha, beta, tx->type, *c, algorithm, workspace, bytes)) {
    return status;
  }
  zero(dw, tw->type, tw->shape);
  each_product(*tx, *tw, *c, *ty, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    accumulate(dw, tw->type, j, load(x, tx->type, i) * load(dy, ty->type, k));
  });
  return 0;
}
