"""The `device` fixture: every device that works on this machine."""

from __future__ import annotations

import pytest

import needle.backend_ndarray as nd

ENABLED = [
    pytest.param(device, id=device.name, marks=[pytest.mark.gpu] if device.name == "cuda" else [])
    for device in nd.all_devices()
    if device.enabled()
]


@pytest.fixture(params=ENABLED)
def device(request: pytest.FixtureRequest) -> nd.BackendDevice:
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param
