"""Fused steps against the ops that they stand for: the same bits, and no other array changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle.ops.recurrent import LSTMStep, LSTMStepGrad

SIZES = [(1,), (7,), (33, 5), (130, 130)]


def draw(n: int, shape: Any, device: nd.BackendDevice, dtype: str) -> list[nd.NDArray]:
    rng = np.random.default_rng(n)
    return [
        nd.NDArray(rng.standard_normal(shape).astype(dtype), device=device, dtype=dtype)
        for _ in range(n)
    ]


def equal(got: nd.NDArray, want: nd.NDArray) -> None:
    np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd_has_the_bits_of_its_ops(
    shape: Any,
    first: bool,
    decay: float,
    momentum: float,
    nesterov: bool,
    device: nd.BackendDevice,
    dtype: str,
) -> None:
    p, g, u = draw(3, shape, device, dtype)
    before, held = p.copy(), u.copy()
    grad = g + p * decay if decay else g
    if momentum:
        fresh = grad * 0.3
        held = fresh if first else held * momentum + fresh
        grad = held * momentum + fresh if nesterov else held
    want = p - grad * 0.1
    got = p.sgd_step(
        g,
        u if momentum else None,
        lr=0.1,
        momentum=momentum,
        undamped=0.3,
        weight_decay=decay,
        nesterov=nesterov,
        first=first,
        first_undamped=False,
    )
    equal(got, want)
    equal(p, before)
    equal(u, held)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("decay", "decoupled"), [(0.0, False), (0.1, False), (0.1, True)])
def test_adam_has_the_bits_of_its_ops(
    shape: Any, first: bool, decay: float, decoupled: bool, device: nd.BackendDevice, dtype: str
) -> None:
    p, g, m, v = draw(4, shape, device, dtype)
    v = v * v
    before, value, grad = p.copy(), p, g
    if decay and decoupled:
        value = p * (1.0 - 0.05 * decay)
    elif decay:
        grad = g + p * decay
    of_grad, of_square = grad * (1.0 - 0.9), grad * grad * (1.0 - 0.99)
    moment = of_grad if first else m * 0.9 + of_grad
    square = of_square if first else v * 0.99 + of_square
    root = (square / (1.0 - 0.99**3)).sqrt() + 1e-8
    want = value - moment / root * (0.05 / (1.0 - 0.9**3))
    got = p.adam_step(
        g,
        m,
        v,
        lr=0.05,
        betas=(0.9, 0.99),
        eps=1e-8,
        weight_decay=decay,
        corrections=(1.0 - 0.9**3, 1.0 - 0.99**3),
        decoupled=decoupled,
        is_first=first,
    )
    equal(got, want)
    equal(p, before)
    equal(m, moment)
    equal(v, square)


def test_a_step_leaves_alone_who_shares_the_parameter(device: nd.BackendDevice) -> None:
    p = ndl.Tensor(np.ones(5), device=device)
    shared = p.detach()
    for optimizer in (ndl.optim.SGD([p], 0.1, 0.9), ndl.optim.Adam([p], 0.1)):
        (p * p).sum().backward()
        optimizer.step()
    np.testing.assert_array_equal(shared.numpy(), np.ones(5))
    assert (p.numpy() < 0.9).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 16), (0, 3)])
def test_lstm_step_and_its_gradients(shape: Any, agree: Any, rng: Any) -> None:
    rows, n = shape
    gates, c, dh, dc = (rng.standard_normal(s) for s in ((rows, 4 * n), shape, shape, shape))

    def joined(results: Any) -> Any:
        return results[0] * results[0] + results[1]

    def cotangents(results: Any) -> Any:
        return results[0].sum() + (results[1] * results[1]).sum()

    step, grad = LSTMStep(), LSTMStepGrad()
    agree(
        lambda *t: joined(step(*t)), lambda *t: joined(step.composed(*t)), gates, c, composed=True
    )
    agree(
        lambda *t: cotangents(grad(*t)),
        lambda *t: cotangents(grad.composed(*t)),
        *(gates, c, dh, dc),
        composed=True,
    )


def test_refusals(device: nd.BackendDevice) -> None:
    p, g = draw(2, (2, 4), device, "float32")
    how = {"lr": 0.1, "undamped": 1.0, "weight_decay": 0.0, "nesterov": False}
    how |= {"first": False, "first_undamped": False}
    with pytest.raises(ValueError, match=r"\[sgd_step\] there is a velocity with momentum"):
        p.sgd_step(g, None, momentum=0.5, **how)
    with pytest.raises(ValueError, match=r"\[sgd_step\] .* grad.shape=\(1, 4\)"):
        p.sgd_step(g[:1], None, momentum=0.0, **how)
    with pytest.raises(ValueError, match=r"\[sgd_step\] the state is compact"):
        p.sgd_step(g, g.copy().reshape(4, 2).transpose(), momentum=0.5, **how)
    with pytest.raises(ValueError, match=r"\[sgd_step\]"):
        p.sgd_step(g, g[:1].broadcast_to((2, 4)), momentum=0.5, **how)
    with pytest.raises(TypeError, match=r"\[lstm_cell\] .* one dtype"):
        p.lstm_cell(g[:, :1].astype("float64"))
    with pytest.raises(ValueError, match=r"\[lstm_cell\] gates are"):
        p.lstm_cell(g)
