"""Rows of transforms, loaders, schedules and clipping: every choice is met, and faults are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from needle import data, optim
from verify import checks, registry
from verify.registry import data as data_rows
from verify.registry import schedules
from verify.spec import Case, Status, Verdict

ROWS = registry.rows()


@pytest.fixture(autouse=True)
def _own_generator() -> Iterator[None]:
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def _verdicts(name: str) -> list[Verdict]:
    cases = registry.plan_cases(ROWS[name], "cpu", "float32", "forward", 0)
    return [checks.run_case(case) for case in cases if case.region == "interior"]


def test_the_images_of_a_case_meet_every_flip_and_every_offset() -> None:
    flips = next(s for s in ROWS["data.RandomFlipHorizontal"].samples if not s.kwargs)
    np.random.seed(data_rows._SEED)
    drawn = [np.random.rand() < 0.5 for _ in range(flips.shapes[0][0])]
    assert 0.25 < np.mean(drawn) < 0.75
    crops = ROWS["data.RandomCrop"].samples[0]
    np.random.seed(data_rows._SEED)
    offsets = {tuple(np.random.randint(-1, 2, size=2)) for _ in range(crops.shapes[0][0])}
    assert dict(crops.kwargs) == {"padding": 1}
    assert len(offsets) == 9


class _FlipsRows(data.RandomFlipHorizontal):
    def __call__(self, img: Any) -> Any:
        return np.flip(img, axis=0) if np.random.rand() < self.p else img


class _NeverFlips(data.RandomFlipHorizontal):
    def __call__(self, img: Any) -> Any:
        np.random.rand()
        return img


class _ColumnsFirst(data.RandomCrop):
    def __call__(self, img: Any) -> Any:
        return np.swapaxes(super().__call__(np.swapaxes(img, 0, 1)), 0, 1)


class _Wraps(data.RandomCrop):
    def __call__(self, img: Any) -> Any:
        shift = np.random.randint(-self.padding, self.padding + 1, size=2)
        return np.roll(img, -shift, axis=(0, 1))


class _ShortOfOne(data.RandomCrop):
    def __call__(self, img: Any) -> Any:
        rows, columns = np.random.randint(-self.padding, self.padding + 1, size=2)
        p, (height, width) = self.padding, img.shape[:2]
        rows = min(rows, p - 1) if p else rows  # the last offset is never taken
        padded = np.pad(img, ((p, p), (p, p), (0, 0)))
        return padded[p + rows : p + rows + height, p + columns : p + columns + width]


class _InPlace(data.RandomFlipHorizontal):
    def __call__(self, img: Any) -> Any:
        if np.random.rand() < self.p:
            img[:] = img[:, ::-1].copy()
        return img


class _Unordered(data.DataLoader):
    def __iter__(self) -> Any:
        return iter(list(super().__iter__())[::-1])


class _DrawsOnce(data.DataLoader):
    def __iter__(self) -> Any:
        if self.shuffle and not hasattr(self, "ordering"):
            return super().__iter__()
        return (self._batch(chunk) for chunk in self.ordering)


class _LateStep(optim.StepLR):
    def factor(self, t: int) -> float:
        return super().factor(max(t - 1, 0))


class _Restarts(optim.CosineLR):
    def factor(self, t: int) -> float:
        return super().factor(t % self.total)


class _FromZero(optim.WarmupLR):
    def factor(self, t: int) -> float:
        return t / self.warmup if t < self.warmup else super().factor(t)


def _clips_each(params: Any, max_norm: float) -> float:
    norms = [optim.clip_grad_norm([p], max_norm) for p in params if p.grad is not None]
    return norms[0]


def _clips_always(params: Any, max_norm: float) -> float:
    params = [p for p in params if p.grad is not None]
    norm = float(np.sqrt(sum(float((p.grad.numpy() ** 2).sum()) for p in params)))
    for p in params:
        p.grad = p.grad * (max_norm / (norm + 1e-6))
    return norm


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("data.RandomFlipHorizontal", _FlipsRows),
        ("data.RandomFlipHorizontal", _NeverFlips),
        ("data.RandomFlipHorizontal", _InPlace),
        ("data.RandomCrop", _ColumnsFirst),
        ("data.RandomCrop", _Wraps),
        ("data.RandomCrop", _ShortOfOne),
        ("data.DataLoader", _Unordered),
        ("data.DataLoader", _DrawsOnce),
        ("optim.StepLR", _LateStep),
        ("optim.CosineLR", _Restarts),
        ("optim.WarmupLR", _FromZero),
        ("optim.clip_grad_norm", _clips_each),
        ("optim.clip_grad_norm", _clips_always),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_faults_are_told(
    plant: Callable[[str, Callable[..., Any]], None], name: str, fault: Any
) -> None:
    if isinstance(fault, type) and issubclass(fault, optim.Schedule):
        fault.__module__ = optim.StepLR.__module__  # as if defined there
    plant(name, fault)
    assert Status.FAIL in [v.status for v in _verdicts(name)]


def _rates(scheduler: Any, optimizer: Any, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda x: schedules._step(torch, x, step_size=3, gamma=0.75),
            lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.75),
        ),
        (
            lambda x: schedules._cosine(torch, x, total=12, final=0.125),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 12, 0.125 * schedules._RATE),
        ),
        (
            lambda x: schedules._warmup(torch, x, warmup=4),
            lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.25, 1.0, 3),
        ),
    ],
    ids=["step", "cosine", "warmup"],
)
def test_references_are_torchs_schedules(ours: Any, theirs: Any) -> None:
    steps = 12
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=schedules._RATE)
    wanted = _rates(theirs(optimizer), optimizer, steps)
    np.testing.assert_allclose(ours(torch.ones(steps, dtype=torch.float64)), wanted, rtol=1e-14)


@pytest.mark.parametrize("max_norm", [0.0, 0.5, 100.0])
def test_the_reference_clips_as_torch_does(max_norm: float) -> None:
    rng = np.random.default_rng(0)
    gradients = [torch.from_numpy(rng.standard_normal(shape)) for shape in ((5, 3), (4,))]
    *clipped, norm = schedules._clip(torch, *gradients, max_norm=max_norm)
    parameters = [torch.zeros_like(g, requires_grad=True) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    wanted = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    np.testing.assert_allclose(norm, wanted, rtol=1e-14)
    for found, p in zip(clipped, parameters, strict=True):
        np.testing.assert_allclose(found, p.grad, rtol=1e-14)


def test_of_data_nothing_is_asked_that_arrays_cannot_tell() -> None:
    """Arrays of two dtypes are loaded together; a case of them would be malformed."""
    row = ROWS["data.DataLoader"]
    asked = registry.plan_cases(row, "cpu", "float32", "errors", 0)
    assert all(case.region == "refused" for case in asked)
    assert (
        checks.run_case(
            Case.parse("data.DataLoader/forward/cpu/float32/3/-/compact/interior/seed0")
        ).status
        is Status.PASS
    )
