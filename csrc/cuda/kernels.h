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
void matmul(const Stream& stream, needle::View dst, needle::View a, needle::View b);
void conv2d(const Stream& stream, needle::View y, needle::View x, needle::View w,
            const needle::Conv2dParams& p);
void conv2d_grad_input(const Stream& stream, needle::View dx, needle::View dy, needle::View w,
                       const needle::Conv2dParams& p);
void conv2d_grad_weight(const Stream& stream, needle::View dw, needle::View x, needle::View dy,
                        const needle::Conv2dParams& p);

}  // namespace NEEDLE_NS
