"""Which world `needle` lives in, chosen by NEEDLE_BACKEND.

`nd` (default): arrays on the native cpu, float32 when no dtype is given. `np` (homeworks 1 and 2 of
the course): `cpu()` and the default device are the numpy backend, float64 is kept when no dtype is
given, and `Tensor.cached_data` has numpy's interface too (needle/autograd/numpy_world.py).
"""

from __future__ import annotations

import os
from types import ModuleType

import numpy as np

from needle import backend_ndarray
from needle.backend_ndarray import BackendDevice as Device
from needle.backend_ndarray import NDArray, all_devices, cpu_numpy, cuda, cuda_sim

__all__ = [
    "BACKEND",
    "Device",
    "NDArray",
    "all_devices",
    "array_api",
    "cpu",
    "cpu_numpy",
    "cuda",
    "cuda_sim",
    "default_device",
]

BACKEND = os.environ.get("NEEDLE_BACKEND", "nd")
if BACKEND not in ("nd", "np"):
    raise ValueError(f"[needle] NEEDLE_BACKEND is nd or np, got NEEDLE_BACKEND={BACKEND}")


array_api: ModuleType = np if BACKEND == "np" else backend_ndarray
cpu = cpu_numpy if BACKEND == "np" else backend_ndarray.cpu


def default_device() -> Device:
    """Where tensors go that are made without a device."""
    return cpu()
