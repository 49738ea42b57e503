// Convolution and its gradients by cuDNN. Images stay as they are, channels last; cuDNN wants
// filters with the output channel first, so those are copied, which is little beside the
// convolution. Where it has nothing for channels last, float64 above all, everything is copied to
// channels first.
#include <map>
#include <optional>

#include "arranged.h"
#include "cublaslt.h"
#include "cudnn.h"

namespace NEEDLE_NS::libraries {
namespace {

using needle::Conv2dParams;
using needle::DType;
using needle::View;

constexpr std::int64_t kMostElements = (std::int64_t{1} << 31) - 1;  // strides are ints
constexpr std::size_t kMostPlans = 4096;
constexpr std::size_t kMostWorkspace = std::size_t{1} << 30;

enum class Pass : std::int64_t { forward, input, weight };

struct Problem {
  std::int64_t device, dtype, tf32;
  Pass pass;
  std::int64_t x[4], w[4], y[4];  // as needle has them: NHWC, RSCK, NHWC
  std::int64_t stride[2], padding[2], dilation[2], groups;
  auto operator<=>(const Problem&) const = default;

  DType type() const { return static_cast<DType>(dtype); }
};

struct Plan {
  bool channels_last;
  Owned<Cudnn::Tensor> x, y;
  Owned<Cudnn::Filter> w;
  Owned<Cudnn::Convolution> convolution;
  std::vector<Cudnn::Candidate> candidates;  // best first; none: the library refuses the problem
};

struct State {
  std::map<std::int64_t, Cudnn::Handle> handles;  // by device
  std::map<Problem, Plan> plans;
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

class Convolutions {
 public:
  Convolutions(const Stream& stream, Cudnn& dnn) : stream_(stream), dnn_(dnn), lock_(dnn.mutex) {}

  // Whether the result of one of x, w and y, which p.pass names, is queued.
  bool convolve(const Problem& p, const View& x, const View& w, const View& y);

 private:
  void require(Cudnn::Status status) const {
    if (status == Cudnn::success) return;
    throw std::runtime_error(
        needle::message(stream_.op, "cuDNN failed", "status", dnn_.GetErrorString(status)));
  }
  Cudnn::Handle handle(std::int64_t device);
  Owned<Cudnn::Tensor> tensor(DType dtype, const std::int64_t (&shape)[4], bool channels_last);
  Plan plan(const Problem& p, bool channels_last);
  Plan plan(const Problem& p);
  std::vector<Cudnn::Candidate> candidates(const Problem& p, const Plan& plan);
  Cudnn::Status run(const Problem& p, const Plan& plan, const Cudnn::Candidate& by, void* x,
                    void* w, void* y);

  const Stream& stream_;
  Cudnn& dnn_;
  std::lock_guard<std::mutex> lock_;
};

Cudnn::Handle Convolutions::handle(std::int64_t device) {
  const auto found = dnn_.started(state().handles[device], dnn_.Create, dnn_.GetErrorString);
  if (found != nullptr) require(dnn_.SetStream(found, stream_.handle));
  return found;
}

Cudnn::DataType data_type(DType dtype) {
  return dtype == DType::float64    ? Cudnn::real64
         : dtype == DType::float16  ? Cudnn::real16
         : dtype == DType::bfloat16 ? Cudnn::real_bf16
                                    : Cudnn::real32;
}

Owned<Cudnn::Tensor> Convolutions::tensor(DType dtype, const std::int64_t (&shape)[4],
                                          bool channels_last) {
  Cudnn::Tensor made = nullptr;
  require(dnn_.CreateTensorDescriptor(&made));
  Owned<Cudnn::Tensor> owned(made, dnn_.DestroyTensorDescriptor);
  const auto i = [](std::int64_t v) { return static_cast<int>(v); };
  const int n = i(shape[0]), h = i(shape[1]), w = i(shape[2]), c = i(shape[3]);
  require(channels_last ? dnn_.SetTensor4dDescriptorEx(made, data_type(dtype), n, c, h, w,
                                                       h * w * c, 1, w * c, c)
                        : dnn_.SetTensor4dDescriptorEx(made, data_type(dtype), n, c, h, w,
                                                       c * h * w, h * w, w, 1));
  return owned;
}

// Winograd's and Fourier's algorithms are left out: their errors are not those of sums of products.
bool sums_products(Pass pass, int algorithm) {
  switch (pass) {
    case Pass::forward:
      return algorithm <= 3;
    case Pass::input:
      return algorithm <= 1;
    case Pass::weight:
      return algorithm <= 1 || algorithm == 3;
  }
  return false;
}

std::vector<Cudnn::Candidate> Convolutions::candidates(const Problem& p, const Plan& plan) {
  Cudnn::Candidate found[Cudnn::most_candidates];
  int count = 0;
  const auto h = handle(p.device);
  const auto x = plan.x.get(), y = plan.y.get();
  const auto w = plan.w.get();
  const auto c = plan.convolution.get();
  const int wanted = Cudnn::most_candidates;
  const auto status =
      p.pass == Pass::forward
          ? dnn_.GetConvolutionForwardAlgorithm_v7(h, x, w, c, y, wanted, &count, found)
      : p.pass == Pass::input
          ? dnn_.GetConvolutionBackwardDataAlgorithm_v7(h, w, y, c, x, wanted, &count, found)
          : dnn_.GetConvolutionBackwardFilterAlgorithm_v7(h, x, y, c, w, wanted, &count, found);
  std::vector<Cudnn::Candidate> fit;
  if (Cudnn::refused(status)) return fit;
  require(status);
  const bool full_float32 = p.type() == DType::float32 && p.tf32 == 0;
  for (int i = 0; i < count; ++i) {
    const Cudnn::Candidate& one = found[i];
    const bool precise = one.maths == Cudnn::any || one.maths == Cudnn::fma ||
                         (one.maths == Cudnn::tensor_cores && !full_float32);
    if (one.status == Cudnn::success && one.deterministic == 1 && precise &&
        one.workspace <= kMostWorkspace && sums_products(p.pass, one.algorithm)) {
      fit.push_back(one);
    }
  }
  return fit;
}

Plan Convolutions::plan(const Problem& p, bool channels_last) {
  const auto i = [](std::int64_t v) { return static_cast<int>(v); };
  Cudnn::Filter filter = nullptr;
  Cudnn::Convolution convolution = nullptr;
  auto x = tensor(p.type(), p.x, channels_last), y = tensor(p.type(), p.y, channels_last);
  require(dnn_.CreateFilterDescriptor(&filter));
  Owned<Cudnn::Filter> w(filter, dnn_.DestroyFilterDescriptor);
  require(dnn_.CreateConvolutionDescriptor(&convolution));
  Plan made{channels_last,
            std::move(x),
            std::move(y),
            std::move(w),
            {convolution, dnn_.DestroyConvolutionDescriptor},
            {}};
  require(dnn_.SetFilter4dDescriptor(filter, data_type(p.type()),
                                     channels_last ? Cudnn::channels_last : Cudnn::channels_first,
                                     i(p.w[3]), i(p.w[2]), i(p.w[0]), i(p.w[1])));
  require(dnn_.SetConvolution2dDescriptor(
      convolution, i(p.padding[0]), i(p.padding[1]), i(p.stride[0]), i(p.stride[1]),
      i(p.dilation[0]), i(p.dilation[1]), Cudnn::cross_correlation,
      p.type() == DType::float64 ? Cudnn::real64 : Cudnn::real32));
  require(dnn_.SetConvolutionGroupCount(convolution, i(p.groups)));
  const bool half = p.type() == DType::float16 || p.type() == DType::bfloat16;
  require(dnn_.SetConvolutionMathType(convolution, half ? Cudnn::tensor_cores
                                                   : p.type() == DType::float32 && !p.tf32
                                                       ? Cudnn::fma
                                                       : Cudnn::any));
  made.candidates = candidates(p, made);
  return made;
}

Plan Convolutions::plan(const Problem& p) {
  if (p.type() != DType::float64) {
    Plan last = plan(p, true);
    if (!last.candidates.empty()) return last;
  }
  return plan(p, false);
}

Cudnn::Status Convolutions::run(const Problem& p, const Plan& plan, const Cudnn::Candidate& by,
                                void* x, void* w, void* y) {
  std::optional<Scratch> workspace;
  if (by.workspace > 0) workspace.emplace(by.workspace, stream_);
  void* space = workspace ? workspace->data() : nullptr;
  const float one = 1, zero = 0;
  const double one_double = 1, zero_double = 0;
  const bool is_double = p.type() == DType::float64;
  const void* alpha = is_double ? static_cast<const void*>(&one_double) : &one;
  const void* beta = is_double ? static_cast<const void*>(&zero_double) : &zero;
  const auto h = handle(p.device);
  const auto c = plan.convolution.get();
  // A candidate of any maths may use TF32: where that is not asked for, the call says so.
  const bool full_float32 = p.type() == DType::float32 && p.tf32 == 0;
  require(dnn_.SetConvolutionMathType(c, full_float32 ? Cudnn::fma : by.maths));
  switch (p.pass) {
    case Pass::forward:
      return dnn_.ConvolutionForward(h, alpha, plan.x.get(), x, plan.w.get(), w, c, by.algorithm,
                                     space, by.workspace, beta, plan.y.get(), y);
    case Pass::input:
      return dnn_.ConvolutionBackwardData(h, alpha, plan.w.get(), w, plan.y.get(), y, c,
                                          by.algorithm, space, by.workspace, beta, plan.x.get(), x);
    case Pass::weight:
      return dnn_.ConvolutionBackwardFilter(h, alpha, plan.x.get(), x, plan.y.get(), y, c,
                                            by.algorithm, space, by.workspace, beta, plan.w.get(),
                                            w);
  }
  return Cudnn::success;
}

bool Convolutions::convolve(const Problem& p, const View& x, const View& w, const View& y) {
  if (handle(p.device) == nullptr ||
      std::max({needle::numel(x), needle::numel(w), needle::numel(y)}) > kMostElements) {
    return false;
  }
  auto& plans = state().plans;
  auto found = plans.find(p);
  if (found == plans.end()) {
    if (plans.size() >= kMostPlans) plans.clear();
    found = plans.emplace(p, plan(p)).first;
  }
  auto& candidates = found->second.candidates;
  if (candidates.empty()) return false;

  const bool last = found->second.channels_last;
  const auto& image = kImage[last];
  const Arranged in(stream_, x, image, p.pass != Pass::input);
  const Arranged filter(stream_, w, kFilter[last], p.pass != Pass::weight);
  const Arranged out(stream_, y, image, p.pass != Pass::forward);
  for (; !candidates.empty(); candidates.erase(candidates.begin())) {
    const auto status =
        run(p, found->second, candidates.front(), in.data(), filter.data(), out.data());
    if (Cudnn::refused(status)) continue;
    require(status);
    (p.pass == Pass::forward ? out : p.pass == Pass::input ? in : filter).deliver();
    if (stream_.checked) check(cudaStreamSynchronize(stream_.handle), stream_);
    return true;
  }
  return false;
}

bool convolve(const Stream& stream, Pass pass, const View& x, const View& w, const View& y,
              const Conv2dParams& c) {
  Problem p{};
  p.device = current_device(stream);
  p.dtype = static_cast<std::int64_t>(x.dtype);
  p.tf32 = x.dtype == DType::float32 && allow_tf32(static_cast<int>(p.device));
  p.pass = pass;
  for (int d = 0; d < 4; ++d) {
    p.x[d] = x.shape[d];
    p.w[d] = w.shape[d];
    p.y[d] = y.shape[d];
  }
  for (int d = 0; d < 2; ++d) {
    p.stride[d] = c.stride[d];
    p.padding[d] = c.padding[d];
    p.dilation[d] = c.dilation[d];
    if (std::max({c.stride[d], c.padding[d], c.dilation[d]}) > kMostElements) return false;
  }
  p.groups = c.groups;
  Cudnn& dnn = cudnn();
  Convolutions convolutions(stream, dnn);
  return dnn.counted(convolutions.convolve(p, x, w, y));
}

}  // namespace

Cudnn& cudnn() {
  static auto* instance = [] {
    cublaslt();  // cuDNN uses it too: one copy
    return new Cudnn;
  }();
  return *instance;
}

bool conv2d(const Stream& stream, const View& y, const View& x, const View& w,
            const Conv2dParams& p) {
  return convolve(stream, Pass::forward, x, w, y, p);
}

bool conv2d_grad_input(const Stream& stream, const View& dx, const View& dy, const View& w,
                       const Conv2dParams& p) {
  return convolve(stream, Pass::input, dx, w, dy, p);
}

bool conv2d_grad_weight(const Stream& stream, const View& dw, const View& x, const View& dy,
                        const Conv2dParams& p) {
  return convolve(stream, Pass::weight, x, dw, dy, p);
}

std::map<std::string, Report> reports() {
  return {{"cublasLt", cublaslt().report()}, {"cudnn", cudnn().report()}};
}

}  // namespace NEEDLE_NS::libraries
