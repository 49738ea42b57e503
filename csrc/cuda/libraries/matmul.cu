// Matmul by cuBLASLt. It thinks in columns: what we call rows of d are its columns, so it computes
// d^T = b^T a^T, and a matrix of rows that lie `ld` apart is its untransposed operand.
#include <map>
#include <optional>

#include "../kernels.h"
#include "../nest.cuh"
#include "cublaslt.h"
#include "matrices.h"

namespace NEEDLE_NS::libraries {
namespace {

using needle::DType;
using needle::View;

constexpr std::int64_t kMostCalls = 64;  // for batches that no single stride walks
constexpr std::size_t kMostPlans = 4096;
constexpr std::uint64_t kMostWorkspace = std::uint64_t{32} << 20;

// Everything that a plan depends on; of arrays, those of the library's a (our b), b (our a) and d.
struct Problem {
  std::int64_t device, dtype, tf32;
  std::int64_t rows, columns, depth, batch;  // of d, as the library counts
  std::int64_t transposed[2], ld[3], stride[3], alignment[3];
  auto operator<=>(const Problem&) const = default;
};

struct Plan {
  Owned<CublasLt::Operation> operation;
  Owned<CublasLt::Layout> a, b, d;
  std::optional<CublasLt::Heuristic> choice;  // none: the library refuses the problem
};

struct State {
  std::map<std::int64_t, CublasLt::Handle> handles;  // by device
  std::map<Problem, Plan> plans;
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

// An operand as it lies, or a compact copy of one that the library cannot take; axes of stride 0
// stay so.
struct Operand {
  View view;
  std::optional<Scratch> copied;

  Operand(const Stream& stream, const View& given) : view(given) {
    if (lie(matrix(given))) return;
    View source = given;
    for (int d = 0; d < given.ndim - 2; ++d) {
      if (given.strides[d] == 0) source.shape[d] = 1;
    }
    copied.emplace(static_cast<std::size_t>(needle::numel(source)) * itemsize(given.dtype), stream);
    View target = source;
    target.data = view.data = copied->data();
    std::int64_t stride = 1;
    for (int d = given.ndim - 1; d >= 0; --d) {
      target.strides[d] = stride;
      view.strides[d] = source.shape[d] == given.shape[d] ? stride : 0;
      stride *= source.shape[d];
    }
    copy(stream, target, source);
  }
};

CublasLt::DataType data_type(DType dtype) {
  return dtype == DType::float64    ? CublasLt::real64
         : dtype == DType::float16  ? CublasLt::real16
         : dtype == DType::bfloat16 ? CublasLt::real_bf16
                                    : CublasLt::real32;
}

// The library, with what an op needs of it.
class Products {
 public:
  Products(const Stream& stream, CublasLt& lt) : stream_(stream), lt_(lt), lock_(lt.mutex) {}

  // Whether dst = a @ b is queued.
  bool product(const View& dst, const View& a, const View& b);

 private:
  void require(CublasLt::Status status) const {
    if (status == CublasLt::success) return;
    throw std::runtime_error(
        needle::message(stream_.op, "cuBLASLt failed", "status", lt_.GetStatusString(status)));
  }
  CublasLt::Handle handle(std::int64_t device);
  Owned<CublasLt::Layout> layout(const Problem& p, int which, std::int64_t rows,
                                 std::int64_t columns);
  Plan plan(const Problem& p);
  bool run(Plan& plan, const Problem& p, const void* a, const void* b, void* d);

  const Stream& stream_;
  CublasLt& lt_;
  std::lock_guard<std::mutex> lock_;
};

CublasLt::Handle Products::handle(std::int64_t device) {
  return lt_.started(state().handles[device], lt_.Create, lt_.GetStatusString);
}

Owned<CublasLt::Layout> Products::layout(const Problem& p, int which, std::int64_t rows,
                                         std::int64_t columns) {
  CublasLt::Layout made = nullptr;
  require(lt_.MatrixLayoutCreate(&made, data_type(static_cast<DType>(p.dtype)),
                                 static_cast<std::uint64_t>(rows),
                                 static_cast<std::uint64_t>(columns), p.ld[which]));
  Owned<CublasLt::Layout> owned(made, lt_.MatrixLayoutDestroy);
  const auto batch = static_cast<std::int32_t>(p.batch);
  require(lt_.MatrixLayoutSetAttribute(made, CublasLt::batch_count, &batch, sizeof batch));
  require(lt_.MatrixLayoutSetAttribute(made, CublasLt::batch_stride, &p.stride[which],
                                       sizeof p.stride[which]));
  return owned;
}

Plan Products::plan(const Problem& p) {
  const bool is_double = static_cast<DType>(p.dtype) == DType::float64;
  CublasLt::Operation operation = nullptr;
  require(lt_.MatmulDescCreate(&operation,
                               is_double ? CublasLt::f64
                               : p.tf32  ? CublasLt::f32_by_tf32
                                         : CublasLt::f32,
                               is_double ? CublasLt::real64 : CublasLt::real32));
  Plan made{{operation, lt_.MatmulDescDestroy},
            p.transposed[0] ? layout(p, 0, p.depth, p.rows) : layout(p, 0, p.rows, p.depth),
            p.transposed[1] ? layout(p, 1, p.columns, p.depth) : layout(p, 1, p.depth, p.columns),
            layout(p, 2, p.rows, p.columns),
            std::nullopt};
  for (int i = 0; i < 2; ++i) {
    const auto transposed = static_cast<std::int32_t>(p.transposed[i]);
    require(lt_.MatmulDescSetAttribute(operation,
                                       i == 0 ? CublasLt::transpose_a : CublasLt::transpose_b,
                                       &transposed, sizeof transposed));
  }

  CublasLt::Preference raw = nullptr;
  require(lt_.MatmulPreferenceCreate(&raw));
  const Owned<CublasLt::Preference> preference(raw, lt_.MatmulPreferenceDestroy);
  const auto prefer = [&](CublasLt::PreferenceAttribute name, auto value) {
    require(lt_.MatmulPreferenceSetAttribute(raw, name, &value, sizeof value));
  };
  prefer(CublasLt::workspace_bytes, kMostWorkspace);
  prefer(CublasLt::reduction_schemes, CublasLt::partial_sums_in_compute_type);
  for (int i = 0; i < 4; ++i) {  // c is d
    prefer(CublasLt::alignments[i], static_cast<std::uint32_t>(p.alignment[std::min(i, 2)]));
  }

  CublasLt::Heuristic best{};
  int found = 0;
  const auto status =
      lt_.MatmulAlgoGetHeuristic(handle(p.device), operation, made.a.get(), made.b.get(),
                                 made.d.get(), made.d.get(), raw, 1, &best, &found);
  if (!CublasLt::refused(status)) {
    require(status);
    if (found > 0 && best.state == CublasLt::success) made.choice = best;
  }
  return made;
}

bool Products::run(Plan& plan, const Problem& p, const void* a, const void* b, void* d) {
  const std::size_t bytes = plan.choice->workspace;
  std::optional<Scratch> workspace;
  if (bytes > 0) workspace.emplace(bytes, stream_);
  const float one = 1, zero = 0;
  const double one_double = 1, zero_double = 0;
  const bool is_double = static_cast<DType>(p.dtype) == DType::float64;
  const auto scale = [&](const float& f, const double& g) {
    return is_double ? static_cast<const void*>(&g) : &f;
  };
  const auto status = lt_.Matmul(handle(p.device), plan.operation.get(), scale(one, one_double), a,
                                 plan.a.get(), b, plan.b.get(), scale(zero, zero_double), d,
                                 plan.d.get(), d, plan.d.get(), &plan.choice->algorithm,
                                 workspace ? workspace->data() : nullptr, bytes, stream_.handle);
  if (CublasLt::refused(status)) {
    plan.choice.reset();
    return false;
  }
  require(status);
  if (stream_.checked) check(cudaStreamSynchronize(stream_.handle), stream_);
  return true;
}

bool Products::product(const View& dst, const View& given_a, const View& given_b) {
  const std::int64_t device = current_device(stream_);
  if (given_a.shape[given_a.ndim - 1] == 0 || handle(device) == nullptr) return false;
  const Operand left(stream_, given_a), right(stream_, given_b);
  View batch[] = {dst, left.view, right.view};
  for (View& v : batch) v.ndim -= 2;
  needle::collapse(batch, 3);
  Matrix d = matrix(dst), a = matrix(left.view), b = matrix(right.view);
  join_rows(d, a, batch);
  if (!row_distance(d)) {  // d^T = b^T a^T has rows, or nothing has
    d = flipped(d);
    std::swap(a, b);
    a = flipped(a);
    b = flipped(b);
    std::swap(batch[1], batch[2]);
  }
  const auto lie_d = row_distance(d);
  const auto lie_a = lie(a), lie_b = lie(b);
  if (!lie_d || !lie_a || !lie_b || std::max({d.rows, d.columns, a.columns}) > kMostSize) {
    return false;
  }
  const int axis = batch_axis(batch);
  const auto step = [&](int which) { return axis < 0 ? 0 : batch[which].strides[axis]; };
  View loop[] = {batch[0], batch[1], batch[2]};
  if (axis >= 0) {
    for (View& v : loop) v.shape[axis] = 1;
  }
  const std::int64_t calls = needle::numel(loop[0]);
  if (calls > kMostCalls) return false;

  const auto size = static_cast<std::int64_t>(itemsize(dst.dtype));
  const auto aligned = [&](const Matrix& m, int which) -> std::int64_t {
    auto bits = reinterpret_cast<std::uintptr_t>(m.data);
    for (int i = 0; i < loop[which].ndim; ++i) {
      if (loop[which].shape[i] > 1) {
        bits |= static_cast<std::uintptr_t>(loop[which].strides[i] * size);
      }
    }
    return alignment(bits);
  };
  const bool tf32 = dst.dtype == DType::float32 && allow_tf32(static_cast<int>(device));
  const Problem problem{device,
                        static_cast<std::int64_t>(dst.dtype),
                        tf32,
                        d.columns,
                        d.rows,
                        a.columns,
                        axis < 0 ? 1 : batch[0].shape[axis],
                        {lie_b->transposed, lie_a->transposed},
                        {lie_b->ld, lie_a->ld, *lie_d},
                        {step(2), step(1), step(0)},
                        {aligned(b, 2), aligned(a, 1), aligned(d, 0)}};
  auto& plans = state().plans;
  auto found = plans.find(problem);
  if (found == plans.end()) {
    if (plans.size() >= kMostPlans) plans.clear();
    found = plans.emplace(problem, plan(problem)).first;
  }
  const auto nest = make_nest<3, std::int64_t>(loop);
  for (std::int64_t i = 0; i < calls; ++i) {
    if (!found->second.choice) return false;
    const auto at = nest.at(i);
    auto* out = static_cast<std::byte*>(const_cast<std::byte*>(d.data)) + at.of[0] * size;
    if (!run(found->second, problem, b.data + at.of[2] * size, a.data + at.of[1] * size, out)) {
      return false;
    }
  }
  return true;
}

}  // namespace

CublasLt& cublaslt() {
  static auto* instance = new CublasLt;
  return *instance;
}

bool matmul(const Stream& stream, View dst, View a, View b) {
  CublasLt& lt = cublaslt();
  Products products(stream, lt);
  return lt.counted(products.product(dst, a, b));
}

}  // namespace NEEDLE_NS::libraries
