// The kernels by op: one function per Backend method, each in the .cu file of its family.
#pragma once

#include "../core/backend.h"
#include "launch.cuh"

namespace NEEDLE_NS {

void copy(const Stream& stream, needle::View dst, needle::View src);
void fill(const Stream& stream, needle::View dst, needle::Scalar value);
void unary(const Stream& stream, needle::UnaryOp op, needle::View dst, needle::View a);
void binary(const Stream& stream, needle::BinaryOp op, needle::View dst, needle::View a,
            needle::View b);
void binary_scalar(const Stream& stream, needle::BinaryOp op, needle::View dst, needle::View a,
                   double s, bool reversed);
void clip(const Stream& stream, needle::View dst, needle::View a, double low, double high);
void where(const Stream& stream, needle::View dst, needle::View mask, needle::View a,
           needle::View b);
void gather(const Stream& stream, needle::View dst, needle::View a, needle::View index, int axis);
void scatter_add(const Stream& stream, needle::View dst, needle::View a, needle::View index,
                 int axis);
void cumsum(const Stream& stream, needle::View dst, needle::View a, int axis, bool reversed);
void arg_reduce(const Stream& stream, needle::ArgOp op, needle::View dst, needle::View a, int axis);
void reduce(const Stream& stream, needle::ReduceOp op, needle::View dst, needle::View a);
void softmax(const Stream& stream, needle::SoftmaxOp op, needle::View dst, needle::View a,
             unsigned axes);
void softmax_grad(const Stream& stream, needle::SoftmaxOp op, needle::View dx, needle::View y,
                  needle::View dy, unsigned axes);
void standardize(const Stream& stream, const needle::Standardized& out, needle::View x,
                 needle::View weight, needle::View bias, unsigned axes, double eps);
void standardize_grad(const Stream& stream, needle::View dx, needle::View dy, needle::View x,
                      needle::View mean, needle::View inverse, needle::View weight, unsigned axes);
void sgd_step(const Stream& stream, const needle::SgdPart& part, const needle::SgdStep& step);
void adam_step(const Stream& stream, const needle::AdamPart& part, const needle::AdamStep& step);
void lstm_cell(const Stream& stream, needle::View h, needle::View next, needle::View gates,
               needle::View c);
void lstm_cell_grad(const Stream& stream, needle::View dgates, needle::View dc, needle::View gates,
                    needle::View c, needle::View dh, needle::View dnext);
void matmul(const Stream& stream, needle::View dst, needle::View a, needle::View b);
void conv2d(const Stream& stream, needle::View y, needle::View x, needle::View w,
            const needle::Conv2dParams& p);
void conv2d_grad_input(const Stream& stream, needle::View dx, needle::View dy, needle::View w,
                       const needle::Conv2dParams& p);
void conv2d_grad_weight(const Stream& stream, needle::View dw, needle::View x, needle::View dy,
                        const needle::Conv2dParams& p);
void pool2d(const Stream& stream, needle::PoolOp op, needle::View y, needle::View x,
            const needle::Pool2dParams& p);
void pool2d_grad(const Stream& stream, needle::PoolOp op, needle::View dx, needle::View dy,
                 needle::View x, const needle::Pool2dParams& p);

}  // namespace NEEDLE_NS
