// The table of one instruction set's kernels; cpu/backend.cc picks a table at load.
#include "decls.h"
#include "kernels.h"

namespace NEEDLE_NS {

const needle::CpuKernels& kernels() {
  static constexpr needle::CpuKernels table = {
      .isa = NEEDLE_ISA_NAME,
      .copy = copy,
      .fill = fill,
      .unary = unary,
      .binary = binary,
      .binary_scalar = binary_scalar,
      .clip = clip,
      .where = where,
      .gather = gather,
      .scatter_add = scatter_add,
      .cumsum = cumsum,
      .arg_reduce = arg_reduce,
      .reduce = reduce,
      .softmax = softmax,
      .softmax_grad = softmax_grad,
      .standardize = standardize,
      .standardize_grad = standardize_grad,
      .sgd_step = sgd_step,
      .adam_step = adam_step,
      .lstm_cell = lstm_cell,
      .lstm_cell_grad = lstm_cell_grad,
      .matmul = matmul,
      .conv2d = conv2d,
      .conv2d_grad_input = conv2d_grad_input,
      .conv2d_grad_weight = conv2d_grad_weight,
      .pool2d = pool2d,
      .pool2d_grad = pool2d_grad,
      .multiply_adds = multiply_adds,
      .move = move,
  };
  return table;
}

}  // namespace NEEDLE_NS
