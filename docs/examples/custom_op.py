"""A needle.Op of your own, and the same op with a mistake in its gradient."""

import needle as ndl
import verify
from needle.autograd import TensorOp


class Squareplus(TensorOp):
    """(x + sqrt(x^2 + b)) / 2: a smooth relu."""

    def __init__(self, b):
        self.b = b

    def compute(self, x):
        return (x + (x * x + self.b).sqrt()) / 2

    def gradient(self, out_grad, node):
        (x,) = node.inputs
        return out_grad * (1 + x / ndl.sqrt(x * x + self.b)) / 2


class ForgottenRoot(Squareplus):
    def gradient(self, out_grad, node):
        (x,) = node.inputs
        return out_grad * (1 + x / (x * x + self.b)) / 2  # the square root is missing


def reference(x, b):
    """The same formula of torch tensors: torch's autograd gives the right gradient."""
    return (x + (x * x + b).sqrt()) / 2


SAMPLES = [
    verify.sample((33,), b=4.0),
    verify.sample((5, 13), b=0.5),
    verify.sample((1,), b=4.0),
    verify.sample((0,), b=4.0),
]

ROWS = [
    verify.row("squareplus", Squareplus, reference, SAMPLES),
    verify.row("forgotten_root", ForgottenRoot, reference, SAMPLES),
]
