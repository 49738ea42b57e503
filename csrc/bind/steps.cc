// The arguments of optimizers' steps on their way into core/steps.cc.
#include "bind/steps.h"

#include <optional>
#include <utility>

#include "bind/arrays.h"

namespace needle::bind {

namespace {

using Pair = std::pair<double, double>;

AdamStep adam(double lr, Pair betas, double eps, double weight_decay, Pair corrections,
              bool decoupled, bool is_first) {
  return {lr,           betas.first,       betas.second,       eps,
          weight_decay, corrections.first, corrections.second, decoupled,
          is_first};
}

void require_as_many(const char* op, const char* name, const Arrays& arrays, const Arrays& params) {
  if (arrays.items.size() == params.items.size()) return;
  throw std::invalid_argument(message(op, "there is one for every parameter", name,
                                      arrays.items.size(), "params", params.items.size()));
}

std::vector<NDArray> sgd_steps(py::handle of_params, py::handle of_grads, py::handle of_velocities,
                               const SgdStep& step) {
  constexpr const char* op = "sgd_step";
  const bool moving = !of_velocities.is_none();
  const Arrays params(op, of_params), grads(op, of_grads),
      velocities(op, moving ? of_velocities : py::tuple());
  require_as_many(op, "grads", grads, params);
  if (moving) require_as_many(op, "velocities", velocities, params);
  std::vector<SgdArrays> all;
  all.reserve(params.items.size());
  for (std::size_t i = 0; i < params.items.size(); ++i) {
    all.push_back({params.items[i], grads.items[i], moving ? velocities.items[i] : nullptr});
  }
  py::gil_scoped_release release;
  return NDArray::sgd_steps(all, step);
}

std::vector<NDArray> adam_steps(py::handle of_params, py::handle of_grads, py::handle of_firsts,
                                py::handle of_seconds, const AdamStep& step) {
  constexpr const char* op = "adam_step";
  const Arrays params(op, of_params), grads(op, of_grads), firsts(op, of_firsts),
      seconds(op, of_seconds);
  require_as_many(op, "grads", grads, params);
  require_as_many(op, "firsts", firsts, params);
  require_as_many(op, "seconds", seconds, params);
  std::vector<AdamArrays> all;
  all.reserve(params.items.size());
  for (std::size_t i = 0; i < params.items.size(); ++i) {
    all.push_back({params.items[i], grads.items[i], firsts.items[i], seconds.items[i]});
  }
  py::gil_scoped_release release;
  return NDArray::adam_steps(all, step);
}

}  // namespace

void define_steps(py::module_& module, py::handle type) {
  using py::arg;
  const auto member = [&](const char* name, auto&& function, const auto&... extra) {
    type.attr(name) = py::cpp_function(std::forward<decltype(function)>(function), py::name(name),
                                       py::is_method(type), extra...);
  };
  member(
      "sgd_step",
      [](const NDArray& p, const NDArray& grad, const std::optional<NDArray>& velocity, double lr,
         double momentum, double undamped, double weight_decay, bool nesterov, bool first,
         bool first_undamped) {
        const SgdStep step{lr, momentum, undamped, weight_decay, nesterov, first, first_undamped};
        const SgdArrays one[]{{&p, &grad, velocity ? &*velocity : nullptr}};
        return compute(p.size(), [&] { return NDArray::sgd_steps(one, step)[0]; });
      },
      arg("grad"), arg("velocity"), py::kw_only(), arg("lr"), arg("momentum"), arg("undamped"),
      arg("weight_decay"), arg("nesterov"), arg("first"), arg("first_undamped"));
  member(
      "adam_step",
      [](const NDArray& p, const NDArray& grad, const NDArray& first, const NDArray& second,
         double lr, Pair betas, double eps, double weight_decay, Pair corrections, bool decoupled,
         bool is_first) {
        const AdamStep step = adam(lr, betas, eps, weight_decay, corrections, decoupled, is_first);
        const AdamArrays one[]{{&p, &grad, &first, &second}};
        return compute(p.size(), [&] { return NDArray::adam_steps(one, step)[0]; });
      },
      arg("grad"), arg("first"), arg("second"), py::kw_only(), arg("lr"), arg("betas"), arg("eps"),
      arg("weight_decay"), arg("corrections"), arg("decoupled"), arg("is_first"));
  module.def(
      "sgd_steps",
      [](py::handle params, py::handle grads, py::handle velocities, double lr, double momentum,
         double undamped, double weight_decay, bool nesterov, bool first, bool first_undamped) {
        return sgd_steps(params, grads, velocities,
                         {lr, momentum, undamped, weight_decay, nesterov, first, first_undamped});
      },
      arg("params"), arg("grads"), arg("velocities"), py::kw_only(), arg("lr"), arg("momentum"),
      arg("undamped"), arg("weight_decay"), arg("nesterov"), arg("first"), arg("first_undamped"),
      R"(NDArray.sgd_step of many arrays at once: those of velocities change in place, new params
are given. velocities: None without momentum.

Raises: ValueError where shapes, devices or numbers of arrays differ, TypeError where dtypes do;
nothing has changed then.)");
  module.def(
      "adam_steps",
      [](py::handle params, py::handle grads, py::handle firsts, py::handle seconds, double lr,
         Pair betas, double eps, double weight_decay, Pair corrections, bool decoupled,
         bool is_first) {
        return adam_steps(params, grads, firsts, seconds,
                          adam(lr, betas, eps, weight_decay, corrections, decoupled, is_first));
      },
      arg("params"), arg("grads"), arg("firsts"), arg("seconds"), py::kw_only(), arg("lr"),
      arg("betas"), arg("eps"), arg("weight_decay"), arg("corrections"), arg("decoupled"),
      arg("is_first"),
      R"(NDArray.adam_step of many arrays at once: those of firsts and seconds change in place, new
params are given.

Raises: as sgd_steps.)");
}

}  // namespace needle::bind
