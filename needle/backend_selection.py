"""Which world `needle` lives in, chosen by NEEDLE_BACKEND.

`nd` (default): arrays on the native cpu, float32 when no dtype is given. `np`: the numpy backend is
the default device and a dtype that data brings along is kept (homeworks 1 and 2 of the course).
"""

from __future__ import annotations

import os

from needle import backend_ndarray as array_api
from needle.backend_ndarray import BackendDevice as Device
from needle.backend_ndarray import NDArray, all_devices, cpu, cpu_numpy, cuda, cuda_sim

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


def default_device() -> Device:
    """Where tensors go that are made without a device."""
    return cpu_numpy() if BACKEND == "np" else cpu()
