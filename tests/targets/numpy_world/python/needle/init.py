"""Initialisers of homework 2."""

import math

import numpy

from .autograd import Tensor


def rand(*shape, low=0.0, high=1.0, device=None, dtype="float32", requires_grad=False):
    return Tensor(numpy.random.rand(*shape) * (high - low) + low, requires_grad=requires_grad)


def randb(*shape, p=0.5, device=None, dtype="float32", requires_grad=False):
    return Tensor(numpy.random.rand(*shape) <= p, requires_grad=requires_grad)


def constant(*shape, c=1.0, device=None, dtype="float32", requires_grad=False):
    return Tensor(numpy.full(shape, c), requires_grad=requires_grad)


def ones(*shape, **kwargs):
    return constant(*shape, c=1.0, **kwargs)


def zeros(*shape, **kwargs):
    return constant(*shape, c=0.0, **kwargs)


def one_hot(n, i, device=None, dtype="float32", requires_grad=False):
    return Tensor(numpy.eye(n)[i.numpy().astype("int32")], requires_grad=requires_grad)


def kaiming_uniform(fan_in, fan_out, nonlinearity="relu", **kwargs):
    bound = math.sqrt(2) * math.sqrt(3 / fan_in)
    return rand(fan_in, fan_out, low=-bound, high=bound, **kwargs)
