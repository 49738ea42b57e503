"""Operators: what is not written yet raises, or has no body at all."""

import numpy as array_api

from .autograd import TensorOp


class EWiseAdd(TensorOp):
    def compute(self, a, b):
        return a + b

    def gradient(self, out_grad, node):
        return out_grad, out_grad


def add(a, b):
    return EWiseAdd()(a, b)


class EWiseMul(TensorOp):
    def compute(self, a, b):
        return a * b

    def gradient(self, out_grad, node):
        ### BEGIN YOUR SOLUTION
        raise NotImplementedError()
        ### END YOUR SOLUTION


def multiply(a, b):
    return EWiseMul()(a, b)


class EWiseDiv(TensorOp):
    def compute(self, a, b):
        return a / b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        # a defect: b is not squared
        return divide(out_grad, b), negate(divide(multiply(out_grad, a), b))


def divide(a, b):
    return EWiseDiv()(a, b)


class DivScalar(TensorOp):
    def __init__(self, scalar):
        self.scalar = scalar

    def compute(self, a):
        # a defect: whatever the dtype of a
        return array_api.array(a / self.scalar, dtype="float32")

    def gradient(self, out_grad, node):
        ### BEGIN YOUR SOLUTION
        raise NotImplementedError()
        ### END YOUR SOLUTION


def divide_scalar(a, scalar):
    return DivScalar(scalar)(a)


class Transpose(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, a):
        return array_api.swapaxes(a, *(self.axes or (-1, -2)))

    def gradient(self, out_grad, node):
        # a defect: the axes are forgotten
        return transpose(out_grad)


def transpose(a, axes=None):
    return Transpose(axes)(a)


class Exp(TensorOp):
    def compute(self, a):
        """Elementwise."""
        ### BEGIN YOUR SOLUTION

        ### END YOUR SOLUTION

    def gradient(self, out_grad, node):
        ### BEGIN YOUR SOLUTION
        pass
        ### END YOUR SOLUTION


def exp(a):
    return Exp()(a)


class Negate(TensorOp):
    def compute(self, a):
        return -a

    def gradient(self, out_grad, node):
        # a defect: it was copied from the identity
        return out_grad


def negate(a):
    return Negate()(a)


class Log(TensorOp):
    def compute(self, a):
        return array_api.log(a)

    def gradient(self, out_grad, node):
        ### BEGIN YOUR SOLUTION
        return None
        ### END YOUR SOLUTION


def log(a):
    return Log()(a)


class Summation(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, a):
        ### BEGIN YOUR SOLUTION
        raise NotImplementedError()
        ### END YOUR SOLUTION

    def gradient(self, out_grad, node):
        ### BEGIN YOUR SOLUTION
        raise NotImplementedError()
        ### END YOUR SOLUTION


def summation(a, axes=None):
    return Summation(axes)(a)


def matmul(a, b):
    ### BEGIN YOUR SOLUTION
    pass
    ### END YOUR SOLUTION
