"""A torch.autograd.Function of your own, and the same one with a mistake in its backward."""

import torch

import verify

EPS = 1e-5


class RMSNorm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) over the last axis."""

    @staticmethod
    def forward(ctx, x):
        scale = (x.square().mean(-1, keepdim=True) + EPS).rsqrt()
        ctx.save_for_backward(x, scale)
        return x * scale

    @staticmethod
    def backward(ctx, grad):
        x, scale = ctx.saved_tensors
        y = x * scale
        return scale * (grad - y * (grad * y).mean(-1, keepdim=True))


class FixedScale(RMSNorm):
    @staticmethod
    def backward(ctx, grad):
        _, scale = ctx.saved_tensors
        return scale * grad  # as if the scale did not depend on x


def reference(x):
    """What it should be, of ordinary torch operations: autograd derives it."""
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt()


SAMPLES = [verify.sample((33,)), verify.sample((5, 13)), verify.sample((2, 3, 64))]

# ctx.saved_tensors does not know how scale depends on x: there is no gradient of the gradient.
ROWS = [
    verify.row("rms_norm", RMSNorm, reference, SAMPLES, twice=False),
    verify.row("fixed_scale", FixedScale, reference, SAMPLES, twice=False),
]
