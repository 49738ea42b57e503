"""needle's own kernels under the simulator that checks every access: no finding is expected."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = importlib.util.find_spec("needle._cuda_sim_races") is not None
needs_module = pytest.mark.skipif(not BUILT, reason="needle was built with NEEDLE_SIM_RACES=OFF")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "NEEDLE_SIM_RACES": "1"},
        timeout=300,
    )


@needs_module
def test_every_kernel_is_free_of_races() -> None:
    result = run(str(ROOT / "tests/gpu/smoke.py"), "cuda_sim")
    assert result.returncode == 0, result.stdout + result.stderr


@needs_module
@pytest.mark.slow
def test_every_kernel_is_free_of_races_on_the_samples_of_ops() -> None:
    ops = "matmul,conv,softmax,summation,max_pool,cumsum,gather"
    result = run(
        "-m", "verify", "--device", "cuda_sim", "--op", ops, "--budget", "smoke",
        "--dtype", "float32", "--check", "forward,vjp",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


@needs_module
def test_the_environment_chooses_the_module() -> None:
    program = (
        "import sys, needle; needle.cuda_sim().enabled(); "
        "print([name for name in sys.modules if name.startswith('needle._cuda_sim')])"
    )
    assert run("-c", program).stdout.strip() == "['needle._cuda_sim_races']"


def test_a_build_without_the_module_says_what_would_help() -> None:
    program = (
        "import sys; sys.modules['needle._cuda_sim_races'] = None; import needle; "
        "print(needle.cuda_sim().reason)"
    )
    assert "NEEDLE_SIM_RACES=ON" in run("-c", program).stdout


@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("ninja")), reason="no cmake")
@pytest.mark.parametrize("sanitize", ["", "address"])
def test_cmake_says_that_the_module_is_left_out(tmp_path: Path, sanitize: str) -> None:
    pytest.importorskip("pybind11", reason="cmake asks this Python for pybind11")
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        pytest.skip("needs cmake and ninja")
    options = [f"-DNEEDLE_SANITIZE={sanitize}", "-DNEEDLE_SIM_RACES=ON", "-DNEEDLE_CUDA=OFF"]
    options += [f"-DPython_EXECUTABLE={sys.executable}", "-G", "Ninja"]
    result = subprocess.run(
        ["cmake", "-S", ROOT, "-B", tmp_path, *options], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    told = " ".join(result.stderr.split())
    assert ("needle/_cuda_sim_races is not built" in told) == bool(sanitize)


STALE = """
import needle.backend_ndarray as nd
sim = nd.cuda_sim()
sim.set_checked({checked})
nd.full((7,), 1.0, device=sim)  # whose block is the next one's
print((nd.empty((7,), device=sim) + 1).numpy())
"""


@needs_module
def test_checked_mode_forgets_what_was_in_a_block() -> None:
    assert run("-c", STALE.format(checked=False)).stdout == "[2. 2. 2. 2. 2. 2. 2.]\n"
    error = run("-c", STALE.format(checked=True)).stderr
    assert "never written" in error
    assert "of a device block" in error
