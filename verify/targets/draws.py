"""What the subject draws from numpy's global generator."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from verify.sampling import Array
from verify.spec import Broken, Case, Draws
from verify.targets.call import listed
from verify.targets.devices import alive, checked_device, other_circumstances, resolve


@contextmanager
def own_generator() -> Iterator[None]:
    """numpy's global generator is afterwards what it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


class DrawCall:
    """Draws of a case's name on its device; dtype, device, memory and repetition are checked."""

    def __init__(self, draws: Draws, case: Case) -> None:
        self.draws, self.case = draws, case
        self.device = checked_device(case.device)
        self.found = resolve(case.op)

    def series(self, seed: int) -> list[list[Array]]:
        """The results of two calls after np.random.seed(seed).

        Raises: Broken where the same seed, on other threads, does not give the same bits.
        """
        np.random.seed(seed)
        series = [self._once(), self._once()]
        np.random.seed(seed)
        with other_circumstances(self.device):
            again = self._once()
        for i, (a, b) in enumerate(zip(series[0], again, strict=True)):
            if a.tobytes() != b.tobytes():
                raise Broken(f"result {i}: the same seed, on other threads, gave other numbers")
        damage = self.device.check_guards()
        if damage:
            raise Broken("memory outside an array was written: " + "; ".join(damage))
        return series

    def another(self, seed: int) -> list[Array]:
        """The results of one call after np.random.seed(seed)."""
        np.random.seed(seed)
        return self._once()

    def _once(self) -> list[Array]:
        before = alive(self.device)
        results = self._drawn()
        if alive(self.device) != before:
            gc.collect()
            bytes_, values = (n - b for n, b in zip(alive(self.device), before, strict=True))
            if bytes_ > 0 or values > 0:
                raise Broken(f"{bytes_} bytes and {values} Tensors stay alive after the call")
        return results

    def _drawn(self) -> list[Array]:
        where = {"device": self.device, "dtype": self.case.dtype}
        results = []
        for i, y in enumerate(listed(self.draws.call(self.found, where, **dict(self.case.kwargs)))):
            if y.dtype != self.case.dtype:
                raise Broken(f"result {i} has dtype {y.dtype}, should have {self.case.dtype}")
            if y.device != self.device:
                raise Broken(f"result {i} is on {y.device!r}, should be on {self.device!r}")
            results.append(np.array(y.numpy()))
        return results
