// The kernels of one instruction set: what the files of this folder define in NEEDLE_NS and
// table.cc collects. Rules for their arguments: Backend (core/backend.h).
#pragma once

#include "../core/backend.h"

namespace NEEDLE_NS {

// copy.cc
void copy(needle::View dst, needle::View src);
void fill(needle::View dst, needle::Scalar value);

// elementwise.cc
void unary(needle::UnaryOp op, needle::View dst, needle::View a);
void binary(needle::BinaryOp op, needle::View dst, needle::View a, needle::View b);
void binary_scalar(needle::BinaryOp op, needle::View dst, needle::View a, double s, bool reversed);
void clip(needle::View dst, needle::View a, double low, double high);

// select.cc
void where(needle::View dst, needle::View mask, needle::View a, needle::View b);
void gather(needle::View dst, needle::View a, needle::View index, int axis);

// lanes.cc
void scatter_add(needle::View dst, needle::View a, needle::View index, int axis);
void cumsum(needle::View dst, needle::View a, int axis, bool reversed);
void arg_reduce(needle::ArgOp op, needle::View dst, needle::View a, int axis);

// reduce.cc
void reduce(needle::ReduceOp op, needle::View dst, needle::View a);

// softmax.cc
void softmax(needle::SoftmaxOp op, needle::View dst, needle::View a, unsigned axes);
void softmax_grad(needle::SoftmaxOp op, needle::View dx, needle::View y, needle::View dy,
                  unsigned axes);

// standardize.cc
void standardize(const needle::Standardized& out, needle::View x, needle::View weight,
                 needle::View bias, unsigned axes, double eps);
void standardize_grad(const needle::StandardizedGrad& out, needle::View dy, needle::View x,
                      needle::View mean, needle::View inverse, needle::View weight, unsigned axes);

// steps.cc
void sgd_step(const needle::SgdPart* parts, std::int64_t count, const needle::SgdStep& step);
void adam_step(const needle::AdamPart* parts, std::int64_t count, const needle::AdamStep& step);
void lstm_cell(needle::View h, needle::View next, needle::View gates, needle::View c);
void lstm_cell_grad(needle::View dgates, needle::View dc, needle::View gates, needle::View c,
                    needle::View dh, needle::View dnext);

// gemm.cc
void matmul(needle::View dst, needle::View a, needle::View b);

// conv.cc
void conv2d(needle::View y, needle::View x, needle::View w, const needle::Conv2dParams& p);
void conv2d_grad_input(needle::View dx, needle::View dy, needle::View w,
                       const needle::Conv2dParams& p);
void conv2d_grad_weight(needle::View dw, needle::View x, needle::View dy,
                        const needle::Conv2dParams& p);

// pool.cc
void pool2d(needle::PoolOp op, needle::View y, needle::View x, const needle::Pool2dParams& p);
void pool2d_grad(needle::PoolOp op, needle::View dx, needle::View dy, needle::View x,
                 const needle::Pool2dParams& p);

// limits.cc
double multiply_adds(needle::DType dtype, std::int64_t rounds);
void move(void* dst, const void* src, std::int64_t bytes, std::int64_t times, bool past);

}  // namespace NEEDLE_NS
