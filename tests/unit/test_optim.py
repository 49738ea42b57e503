"""Optimizers against torch's in float64, and against the course's formulas where torch's differ."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
from needle import optim
from needle.backend_ndarray import NDArray

STEPS = 12


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((3, 4)), rng.standard_normal((STEPS, 3, 4))


def run_needle(make: Callable[[list[Any]], Any], device: Any) -> np.ndarray:
    start, grads = problem()
    p = ndl.Tensor(start, device=device, dtype="float64")
    optimizer = make([p])
    for g in grads:
        p.grad = ndl.Tensor(g, device=device, dtype="float64")
        optimizer.step()
        np.testing.assert_array_equal(p.grad.numpy(), g)  # a step never modifies a gradient
    return p.numpy()


def run_torch(make: Callable[[list[Any]], Any]) -> np.ndarray:
    start, grads = problem()
    p = torch.tensor(start, requires_grad=True)
    optimizer = make([p])
    for g in grads:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy()


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sgd": (lambda p: optim.SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "sgd decay": (
        lambda p: optim.SGD(p, 0.1, weight_decay=0.05),
        lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.05),
    ),
    "sgd torch's momentum": (
        lambda p: optim.SGD(p, 0.1, 0.9, 0.01, dampening=0.3),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, dampening=0.3, weight_decay=0.01),
    ),
    "sgd torch's nesterov": (
        lambda p: optim.SGD(p, 0.1, 0.9, nesterov=True, dampening=0.0),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True),
    ),
    "adam": (
        lambda p: optim.Adam(p, 0.02, 0.8, 0.95, 1e-6),
        lambda p: torch.optim.Adam(p, 0.02, (0.8, 0.95), 1e-6),
    ),
    "adam decay": (
        lambda p: optim.Adam(p, 0.02, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.02, weight_decay=0.1),
    ),
    "adamw": (
        lambda p: optim.AdamW(p, 0.02, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.1),
    ),
    "rmsprop": (
        lambda p: optim.RMSprop(p, 0.02, 0.9, weight_decay=0.1, momentum=0.7),
        lambda p: torch.optim.RMSprop(p, 0.02, 0.9, weight_decay=0.1, momentum=0.7),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_optimizer_follows_torch(name: str, device: Any) -> None:
    ours, theirs = PAIRS[name]
    np.testing.assert_allclose(run_needle(ours, device), run_torch(theirs), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_keeps_the_course_form(nesterov: bool) -> None:
    start, grads = problem()
    m, lr, decay = 0.9, 0.1, 0.01
    p, u = start.copy(), np.zeros_like(start)
    for g in grads:
        g = g + decay * p
        u = m * u + (1 - m) * g
        p = p - lr * (m * u + (1 - m) * g if nesterov else u)
    got = run_needle(lambda q: optim.SGD(q, lr, m, decay, nesterov=nesterov), ndl.cpu())
    np.testing.assert_allclose(got, p, rtol=1e-12)


def test_parameters_without_gradient_stay() -> None:
    p = ndl.Tensor([1.0, 2.0])
    for make in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop):
        make([p]).step()
        np.testing.assert_array_equal(p.numpy(), [1.0, 2.0])


def test_reset_grad_and_steady_tensor_counter() -> None:
    p = ndl.Tensor(np.ones(5), dtype="float32")
    optimizer = optim.Adam([p], 0.01, weight_decay=0.01)
    counts = []
    for _ in range(5):
        optimizer.reset_grad()
        assert p.grad is None
        (p * p).sum().backward()
        optimizer.step()
        counts.append(ndl.autograd.TENSOR_COUNTER)
    assert len(set(counts[1:])) == 1
    assert p.dtype == "float32"


def test_clip_grad_norm_follows_torch() -> None:
    start, grads = problem()
    ours = [ndl.Tensor(start, dtype="float64"), ndl.Tensor(start[0], dtype="float64")]
    theirs = [torch.tensor(start), torch.tensor(start[0])]
    for p, q, g in zip(ours, theirs, (grads[0], grads[1][0]), strict=True):
        p.grad, q.grad = ndl.Tensor(g, dtype="float64"), torch.tensor(g)
    for bound in (100.0, 0.7):
        norm = optim.clip_grad_norm(ours, bound)
        expected = torch.nn.utils.clip_grad_norm_(theirs, bound)
        np.testing.assert_allclose(norm, expected.item(), rtol=1e-13)
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


def test_clip_grad_norm_does_not_overflow() -> None:
    p = ndl.Tensor([0.0, 0.0], dtype="float32")
    p.grad = ndl.Tensor([3e38, 3e38], dtype="float32")
    norm = optim.SGD([p]).clip_grad_norm(1.0)
    np.testing.assert_allclose(norm, 3e38 * 2**0.5, rtol=1e-6)
    np.testing.assert_allclose(p.grad.numpy(), [0.5**0.5, 0.5**0.5], rtol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_bad_hyper_parameters(bad: float, name: str) -> None:
    p = ndl.Tensor([1.0])
    for make in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop):
        with pytest.raises(ValueError, match=rf"\[{make.__name__}\] {name} must be finite"):
            make([p], **{name: bad})


def test_bad_parameters() -> None:
    with pytest.raises(ValueError, match=r"\[SGD\] at least one parameter"):
        optim.SGD([])
    with pytest.raises(TypeError, match=r"\[Adam\] parameters are Tensors"):
        optim.Adam([np.zeros(3)])
    with pytest.raises(ValueError, match=r"\[Adam\] beta1"):
        optim.Adam([ndl.Tensor([1.0])], beta1=1.0)


def test_schedules() -> None:
    optimizer = optim.SGD([ndl.Tensor([1.0])], lr=0.5)
    schedule: optim.Schedule = optim.StepLR(optimizer, 2, 0.1)
    rates = []
    for _ in range(5):
        rates.append(optimizer.lr)
        schedule.step()
    np.testing.assert_allclose(rates, [0.5, 0.5, 0.05, 0.05, 0.005])

    optimizer.lr = 1.0
    schedule = optim.CosineLR(optimizer, 10, final=0.1)
    assert optimizer.lr == 1.0
    for _ in range(5):
        schedule.step()
    np.testing.assert_allclose(optimizer.lr, 0.55)
    for _ in range(20):
        schedule.step()
    np.testing.assert_allclose(optimizer.lr, 0.1)

    optimizer.lr = 1.0
    schedule = optim.WarmupLR(optimizer, 4, 8)
    rates = []
    for _ in range(9):
        rates.append(optimizer.lr)
        schedule.step()
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25, 0])
    with pytest.raises(ValueError, match=r"\[WarmupLR\] total"):
        optim.WarmupLR(optimizer, 4, 3)


SCHEDULES: dict[str, Callable[[Any], optim.Schedule]] = {
    "step": lambda o: optim.StepLR(o, 2, 0.1),
    "cosine": lambda o: optim.CosineLR(o, 10, final=0.1),
    "warmup": lambda o: optim.WarmupLR(o, 4, 8),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_go_on_from_a_state(name: str) -> None:
    make, p = SCHEDULES[name], ndl.Tensor([1.0])
    first, second = optim.SGD([p], lr=0.5), optim.SGD([p], lr=0.3)
    schedule, again = make(first), make(second)
    for _ in range(3):
        schedule.step()
    again.load_state_dict(schedule.state_dict())
    for _ in range(4):
        assert second.lr == first.lr
        schedule.step()
        again.step()


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ({"t": 1}, ValueError, r"names t and base_lr, got names=\['t'\]"),
        ({"t": 1, "base_lr": 0.1, "lr": 1}, ValueError, "names t and base_lr"),
        ({"t": -1, "base_lr": 0.1}, ValueError, "'t' is at least 0"),
        ({"t": 1.5, "base_lr": 0.1}, TypeError, "'t' is an int"),
        ({"t": [1], "base_lr": 0.1}, ValueError, "'t' is one number"),
        ({"t": 1, "base_lr": float("nan")}, ValueError, "base_lr must be finite"),
        (3, TypeError, "state is a mapping"),
    ],
)
def test_states_that_do_not_fit_a_schedule(state: Any, error: type[Exception], text: str) -> None:
    optimizer = optim.SGD([ndl.Tensor([1.0])], lr=0.5)
    schedule = optim.StepLR(optimizer, 2)
    with pytest.raises(error, match=r"\[load_state_dict\] .*" + text):
        schedule.load_state_dict(state)
    assert (schedule.t, schedule.base_lr, optimizer.lr) == (0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o: optim.StepLR(o, 2.7), r"\[StepLR\] step_size is an int, got type=float"),
        (lambda o: optim.CosineLR(o, 2.5), r"\[CosineLR\] total is an int"),
        (lambda o: optim.WarmupLR(o, 1.5), r"\[WarmupLR\] warmup is an int"),
        (lambda o: optim.WarmupLR(o, 1, 2.5), r"\[WarmupLR\] total is an int"),
        (lambda o: optim.StepLR(3, 1), r"\[StepLR\] it schedules an Optimizer, got type=int"),
    ],
)
def test_schedule_type_errors(make: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        make(optim.SGD([ndl.Tensor([1.0])]))


def test_a_parameter_given_twice_is_stepped_once() -> None:
    w = ndl.Tensor([1.0])
    w.grad = ndl.Tensor([1.0])
    optim.SGD([w, w], lr=0.25).step()
    assert w.numpy() == 0.75


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3), ()])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
def test_a_gradient_of_another_shape_changes_nothing(kind: Any, shape: tuple[int, ...]) -> None:
    p = ndl.Tensor([1.0, 2.0, 3.0])
    p.grad = ndl.Tensor(np.ones(shape))
    with pytest.raises(
        ValueError, match=rf"\[{kind.__name__}\] a gradient has its parameter's shape"
    ):
        kind([p], lr=0.5).step()
    np.testing.assert_array_equal(p.numpy(), [1.0, 2.0, 3.0])


def _stepped_once(kind: Any) -> tuple[Any, list[Any]]:
    """An optimizer of four parameters of two dtypes, all of which have a new gradient."""
    params = [ndl.Tensor(np.ones(3), dtype=d) for d in ("float64", "float32") * 2]
    optimizer = kind(params, lr=0.5)
    for _ in range(2):
        for p in params:
            p.grad = ndl.Tensor(np.ones(3), dtype=p.dtype)
        if not vars(optimizer).get("stepped"):
            optimizer.step()
            optimizer.stepped = True
    return optimizer, params


@pytest.mark.parametrize("bad", ["grad", "state", "dtype", "lr"])
@pytest.mark.parametrize(
    "kind",
    [partial(optim.SGD, momentum=0.5), optim.Adam, optim.AdamW, optim.RMSprop],
    ids=["SGD", "Adam", "AdamW", "RMSprop"],
)
def test_a_step_that_fits_one_parameter_not_changes_none(kind: Any, bad: str) -> None:
    optimizer, params = _stepped_once(kind)
    last = params[-1]
    if bad == "grad":
        last.grad = ndl.Tensor(np.ones(4), dtype="float32")
    elif bad == "state":
        last.data = ndl.Tensor(np.ones(4), dtype="float32")
        last.grad = ndl.Tensor(np.ones(4), dtype="float32")
    elif bad == "dtype":
        last.cached_data = last.cached_data.astype("float16")
        last.grad.cached_data = last.grad.cached_data.astype("float16")
    before, state = [p.numpy() for p in params[:-1]], optimizer.state_dict()
    if bad == "lr":
        optimizer.lr = None
    with pytest.raises((TypeError, ValueError), match=r"^\[(SGD|Adam|AdamW|RMSprop)\] .*, got "):
        optimizer.step()
    optimizer.lr = 0.5
    for p, value in zip(params, before, strict=False):
        np.testing.assert_array_equal(p.numpy(), value)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_gradients_and_clipped_parameters_are_tensors() -> None:
    p = ndl.Tensor([1.0])
    p.grad = np.ones(1)  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"\[SGD\] gradients are Tensors, got params\[0\].grad=nda"):
        optim.SGD([p]).step()
    for params in (5, p, [5]):
        with pytest.raises(TypeError, match=r"\[clip_grad_norm\] param"):
            optim.clip_grad_norm(params, 1.0)  # type: ignore[arg-type]


SIM = ndl.cuda_sim()
HALVES: dict[str, Callable[[list[Any]], Any]] = {
    "sgd": lambda p: optim.SGD(p, 0.1, 0.9, 0.01, nesterov=True),
    "adam": lambda p: optim.Adam(p, 0.02, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, 0.02),
    "rmsprop": lambda p: optim.RMSprop(p, 0.02, momentum=0.5),
}


@pytest.mark.skipif(not SIM.enabled(), reason=str(SIM.reason))
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", HALVES)
def test_a_step_in_16_bits_is_that_of_float32_rounded_once(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    found = []
    start, grad = (rng.standard_normal((3, 40)).astype(np.float32) for _ in range(2))
    grad *= np.float32(10.0) ** np.arange(-8, 2).repeat(4).astype(np.float32)  # squares below 2^-24
    grad[0] = 0.0  # where eps alone divides
    for device, of in ((SIM, dtype), (ndl.cpu(), "float32")):
        held = NDArray(start, dtype=dtype).astype(of).to(device)
        p = ndl.Tensor(held)
        p.grad = ndl.Tensor(NDArray(grad, dtype=dtype).astype(of).to(device))
        HALVES[name]([p]).step()
        found.append(p.realize_cached_data().to(ndl.cpu()).astype(dtype).numpy())
    assert np.isfinite(found[0].astype(np.float32)).all()
    np.testing.assert_array_equal(found[0].view(np.uint16), found[1].view(np.uint16))


@pytest.mark.parametrize("name", HALVES)
def test_a_gradient_of_another_dtype_is_refused(name: str) -> None:
    for device, of, other in ((ndl.cpu(), "float32", "float64"), (SIM, "float16", "float32")):
        if device.enabled():
            p = ndl.Tensor(np.ones(3), dtype=of, device=device)
            p.grad = ndl.Tensor(np.ones(3), dtype=other, device=device)
            with pytest.raises(TypeError, match=rf"{other}.*{of}|{of}.*{other}"):
                HALVES[name]([p]).step()
