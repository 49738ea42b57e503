"""Neural-network modules."""

from needle.nn.activation import ReLU, Tanh
from needle.nn.basic import Flatten, Identity, Linear, Sequential
from needle.nn.conv import Conv
from needle.nn.module import Module, Parameter

__all__ = [
    "Conv",
    "Flatten",
    "Identity",
    "Linear",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Tanh",
]
