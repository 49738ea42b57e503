"""PyTorch's softplus as it is: above 20 it returns its argument. See README.md.

needle-verify --plugin docs/examples/torch_softplus.py --op user --check forward --budget smoke
"""

from __future__ import annotations

import torch

import verify


def softplus(x):
    return torch.nn.functional.softplus(x)


def reference(x):
    """log(1 + exp(x)), right for every x."""
    return x.relu() + (-x.abs()).exp().log1p()


ROWS = [
    verify.row(
        "torch_softplus",
        softplus,
        reference,
        [verify.sample((16,)), verify.sample((7, 9))],
        domains=verify.Domain(low=-50, high=50, spread=12.0),
        via="torch",
    )
]
