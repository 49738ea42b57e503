"""The CUDA devices of this machine, as parameters of tests."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

import pytest

import needle.backend_ndarray as nd

GPU, SIM = nd.cuda(), nd.cuda_sim()
needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not GPU.enabled(), reason=str(GPU.reason))]
needs_sim = pytest.mark.skipif(not SIM.enabled(), reason=str(SIM.reason))

DEVICES = [
    pytest.param(GPU, id="cuda", marks=needs_gpu),
    pytest.param(SIM, id="cuda_sim", marks=needs_sim),
]


@contextlib.contextmanager
def pretend(**machine: int) -> Iterator[None]:
    """The simulator runs on another machine."""
    module = importlib.import_module("needle._cuda_sim")
    module.pretend(**machine)
    try:
        yield
    finally:
        module.pretend()
