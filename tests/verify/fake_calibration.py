"""Stands for verify.calibration.measure: what a planted fault makes of a part, by environment."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np

from verify import targets
from verify.calibration import measure
from verify.calibration.measure import warm_up  # noqa: F401  (the worker calls it)
from verify.spec import Case, Verdict


def wrong_at(bits: int, ulps: int) -> Any:
    """targets.unary, but off by some ULP at one float32 pattern."""
    right = targets.unary

    def unary(*subject: Any) -> Any:
        f = right(*subject)

        def g(x: np.ndarray) -> np.ndarray:
            y = f(x).copy()
            if x.dtype == np.float32:
                y.view(np.int32)[x.view(np.uint32) == bits] += ulps
            return y

        return g

    return unary


def run_case(case: Case) -> Verdict:
    if case.region == os.environ.get("FAKE_CRASH_IN"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return measure.run_case(case)
