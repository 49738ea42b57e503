"""The CUDA simulator as a device, and what the CUDA module says where there is no GPU."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import needle.backend_ndarray as nd

SIM = nd.cuda_sim()
pytestmark = pytest.mark.skipif(not SIM.enabled(), reason=str(SIM.reason))

Compute = Callable[[nd.NDArray], nd.NDArray]
OPS: dict[str, Compute] = {
    "exp": lambda x: x.exp(),
    "sum-rows": lambda x: x.sum(axis=1),
    "sum-columns": lambda x: x.sum(axis=0),
    "sum-slices": lambda x: x.broadcast_to((9, 70, 70)).reshape((-1,)).sum(),
    "sum-packs": lambda x: x[:, :64].compact().sum(axis=0) + x[:64, :64].compact().sum(axis=1),
    "turned": lambda x: x.T + x,
    "cumsum-rows": lambda x: x.cumsum(1),
    "cumsum-columns": lambda x: x.cumsum(0, reverse=True),
    "cumsum-slices": lambda x: x.reshape((-1,)).cumsum(0),
    "argmax-slices": lambda x: x.reshape((-1,)).argmax(0),
    "matmul": lambda x: x @ x,
    "conv": lambda x: x.reshape((1, 10, 49, 10)).conv2d(
        x.reshape((-1,))[:360].reshape((3, 3, 10, 4)), padding=(1, 1)
    ),
}


@pytest.fixture
def reseed() -> Iterator[Callable[[int], None]]:
    module = importlib.import_module("needle._cuda_sim")
    before = module.seed()
    yield module.set_seed
    module.set_seed(before)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sim_results_do_not_depend_on_the_schedule(
    op: str, dtype: str, reseed: Callable[[int], None]
) -> None:
    x = nd.NDArray(np.random.default_rng(0).normal(size=(70, 70)), device=SIM, dtype=dtype)
    results = []
    for seed in range(5):
        reseed(seed)
        results.append(OPS[op](x).numpy().tobytes())
    assert len(set(results)) == 1


def test_sim_memory_is_not_the_hosts() -> None:
    x = nd.NDArray([1.0, 2.0], device=SIM)
    with pytest.raises(BufferError):
        memoryview(x)


def test_sim_checked_mode_guards_kernels() -> None:
    SIM.set_checked(True)
    try:
        x = nd.NDArray(np.arange(1003.0), device=SIM)
        kept = [compute(x) for compute in (lambda a: a + 1, lambda a: a.sum(), lambda a: a[::-3])]
        assert SIM.check_guards() == []
        assert kept[0].numpy()[-1] == 1003
    finally:
        SIM.set_checked(False)


def test_cuda_says_why_it_is_unavailable() -> None:
    reason = nd.cuda().reason
    if reason is None:
        assert nd.cuda().enabled()
        return
    assert any(
        text in reason
        for text in ("no CUDA driver", "no CUDA device", "driver too old", "built without CUDA")
    )
    with pytest.raises(RuntimeError, match="not available"):
        nd.NDArray([1.0], device=nd.cuda())


def said(program: str, **variables: str) -> str:
    """What a program prints under an environment, and the last line of its traceback."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    return (result.stdout + "\n".join(result.stderr.splitlines()[-1:])).strip()


def test_sim_seed_comes_from_the_environment() -> None:
    program = "import needle._cuda_sim as sim; print(sim.seed())"
    assert said(program, NEEDLE_SIM_SEED="77") == "77"
    assert said(program, NEEDLE_SIM_SEED="") == "1"


@pytest.mark.parametrize("seed", ["abc", "7 ", "-1", "0x10", str(1 << 64)])
def test_sim_seed_that_is_no_number_is_an_error(seed: str) -> None:
    program = "import needle; print(needle.cuda_sim().reason)"
    says = "NEEDLE_SIM_SEED is a whole number below 2^64, got NEEDLE_SIM_SEED="
    assert said(program, NEEDLE_SIM_SEED=seed) == (says + seed).strip()


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("NEEDLE_CHECKED", "import needle"),
        ("NEEDLE_SIM_RACES", "import needle; needle.cuda_sim().enabled()"),
        ("NEEDLE_ALLOW_TF32", "import needle; needle.cuda()"),
        ("NEEDLE_CUDA_LIBS", "import needle; needle.cuda().enabled()"),
    ],
)
def test_switches_are_0_or_1(name: str, program: str) -> None:
    assert said(program, **{name: "yes"}) == (
        f"ValueError: [environment] a switch is 0 or 1, got {name}=yes"
    )
    for value in ("", "0"):
        assert said(program, **{name: value}) == ""
