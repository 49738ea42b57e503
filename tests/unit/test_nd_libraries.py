"""NVIDIA's libraries and TF32 as a device's own facts; on a machine without CUDA too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import cuda_libraries

CUDA, SIM = nd.cuda(), nd.cuda_sim()


def test_only_cuda_has_libraries() -> None:
    assert nd.cpu().libraries == {}
    assert nd.cpu_numpy().libraries == {}


@pytest.mark.skipif(not SIM.enabled(), reason=str(SIM.reason))
def test_the_simulator_says_that_it_has_none() -> None:
    assert set(SIM.libraries) == {"cublasLt", "cudnn"}
    assert all("simulator" in reason for reason in SIM.libraries.values())


@pytest.mark.parametrize("device", [nd.cpu(), nd.cpu_numpy(), SIM], ids=str)
def test_only_cuda_has_tf32(device: nd.BackendDevice) -> None:
    assert device.allow_tf32 is False
    with pytest.raises(ValueError, match=r"^\[allow_tf32\] only CUDA's devices have TF32, got dev"):
        device.allow_tf32 = True


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_tf32_is_allowed_or_not(value: object) -> None:
    with pytest.raises(TypeError, match=r"^\[allow_tf32\] it is a bool, got type="):
        CUDA.allow_tf32 = value  # type: ignore[assignment]


@pytest.mark.skipif(CUDA.enabled(), reason="there is a CUDA device")
def test_without_cuda_tf32_cannot_be_set() -> None:
    assert CUDA.allow_tf32 is False
    with pytest.raises(RuntimeError, match=r"^\[device\] cuda\(\) is not available: "):
        CUDA.allow_tf32 = True
    with pytest.raises(RuntimeError, match=r"^\[device\] cuda\(\) is not available: "):
        _ = CUDA.libraries


def test_the_environment_allows_tf32() -> None:
    code = "import needle; print(needle.cuda().allow_tf32, needle.cpu().allow_tf32)"
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PATH": "", "NEEDLE_ALLOW_TF32": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["True", "False"]


def test_packages_of_python_come_before_the_toolkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("site/nvidia/cudnn/lib", "site/nvidia/cublas/lib", "toolkit/lib64"):
        (tmp_path / part).mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    found = cuda_libraries.folders()
    expected = [str(tmp_path / p) for p in ("site/nvidia/cudnn/lib", "site/nvidia/cublas/lib")]
    assert [path for path in found if path.startswith(str(tmp_path))] == [
        *expected,
        str(tmp_path / "toolkit/lib64"),
    ]
