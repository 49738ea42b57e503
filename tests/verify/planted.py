"""needle's own ops, some with a fault planted in them: what the workers of test_planted run."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import needle as ndl
from verify import checks, registry
from verify.sampling import size
from verify.spec import Case, Row, Verdict
from verify.targets import call, devices

_calls = itertools.count()


class Op(ndl.autograd.TensorOp):
    """An op with any forward and any gradient."""

    def __init__(self, compute: Callable[..., Any], gradient: Callable[..., Any]) -> None:
        self.compute_, self.gradient_ = compute, gradient

    def compute(self, *arrays: Any) -> Any:
        return self.compute_(*arrays)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return self.gradient_(out_grad, node)


def die(number: int) -> Callable[..., Any]:
    def dying(a: Any) -> Any:
        os.kill(os.getpid(), number)
        return a

    return dying


def hang(a: Any) -> Any:
    time.sleep(1000)
    return a


def changes_its_input(a: Any) -> Any:
    y = ndl.ops.log1p(a)
    a.realize_cached_data()[...] = 0.5
    return y


def leaves_elements_unwritten(a: Any) -> Any:
    y = a.device.empty(a.shape, dtype=a.dtype)
    y[:1] = ndl.ops.expm1(a).realize_cached_data()[:1]
    return ndl.Tensor.make_const(y)


def writes_outside(a: Any) -> Any:
    y = ndl.ops.erf(a)
    data = y.realize_cached_data()
    ctypes.c_float.from_address(data._handle.ptr() + 4 * data.size + 4).value = 1.0
    return y


def flaky(a: Any) -> Any:
    return ndl.ops.sigmoid(a) + (next(_calls) % 2) * 1e-7


def stub(a: Any) -> Any:
    raise NotImplementedError("later")


def deadly_elsewhere(a: Any) -> Any:
    """Wrong on the cpu; asked on another device, it takes the process with it."""
    if a.device != ndl.cpu():
        os.abort()
    return ndl.ops.cos(a) * 1.5


FAULTS: dict[str, Callable[..., Any]] = {
    "exp": lambda a: ndl.ops.exp(a) * 1.00001,
    "tanh": Op(lambda a: a.tanh(), lambda g, node: g * (1.0 - node)),
    "sin": die(signal.SIGSEGV),
    "rsqrt": die(signal.SIGABRT),
    "sqrt": hang,
    "log1p": changes_its_input,
    "expm1": leaves_elements_unwritten,
    "erf": writes_outside,
    "sigmoid": flaky,
    "softplus": stub,
    "cos": deadly_elsewhere,
}


class Registry:
    """The real rows, a case a group: the first of some elements."""

    def __init__(self, cases: int = 1) -> None:
        self.cases = cases

    def rows(self) -> Mapping[str, Row]:
        return registry.rows()

    def plan_cases(
        self, row: Row, device: str, dtype: str, judge: str, seed: int, budget: str = "default"
    ) -> Sequence[Case]:
        planned = registry.plan_cases(row, device, dtype, judge, seed, budget)
        fitting = [c for c in planned if size(c.shapes) > 20 and c.region == "interior"]
        return fitting[: self.cases]


def plant() -> None:
    """Puts the faults in the place of the ops."""
    call.resolve = lambda name: FAULTS.get(name) or devices.resolve(name)  # type: ignore[assignment]


def warm_up(threads: int) -> dict[str, str]:
    plant()
    return checks.warm_up(threads)


in_worker = checks.in_worker


def run_case(case: Case) -> Verdict:
    return checks.run_case(case)
