"""Fused steps against the ops that they stand for: the same bits, and no other array changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle.ops.recurrent import LSTMStep, LSTMStepGrad

KINDS = [(3, "float32"), (5, "float64"), (2, "float32"), (4, "float64")]
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
    root = (square * (1.0 / (1.0 - 0.99**3))).sqrt() + 1e-8
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


MANY = [(3,), (0, 2), (4096,), (5000,), (2, 7), (130, 130), (1,), (70000,)]
SGD = {"lr": 0.1, "momentum": 0.9, "undamped": 0.3, "weight_decay": 0.01, "nesterov": True}
SGD |= {"first": False, "first_undamped": False}
ADAM: dict[str, Any] = {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
ADAM |= {"corrections": (0.3, 0.03), "decoupled": True, "is_first": False}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_of_many_arrays_is_that_of_each(
    threads: int, device: nd.BackendDevice, dtype: str
) -> None:
    before = ndl.get_num_threads()
    ndl.set_num_threads(threads)
    try:
        of_each = [draw(4, shape, device, dtype) for shape in MANY]
        of_all = [draw(4, shape, device, dtype) for shape in MANY]
        params, grads, first, second = (list(arrays) for arrays in zip(*of_all, strict=True))
        second = [v * v for v in second]
        moved = nd.sgd_steps(params, grads, first, **SGD)
        again = nd.adam_steps(params, grads, first, second, **ADAM)
        for i, (p, g, m, v) in enumerate(of_each):
            square = v * v
            equal(moved[i], p.sgd_step(g, m, **SGD))
            equal(again[i], p.adam_step(g, m, square, **ADAM))
            equal(first[i], m)
            equal(second[i], square)
    finally:
        ndl.set_num_threads(before)


def test_a_step_of_many_arrays_refuses_whole(device: nd.BackendDevice, dtype: str) -> None:
    p, g, m, v = draw(4, (3, 5), device, dtype)
    held = m.copy()
    other = "float64" if dtype == "float32" else "float32"
    for arrays, error, says in (
        (([p, p], [g], [m, m], [v, v]), ValueError, r"one for every parameter, got grads=1"),
        (([p, p], [g, g[:1]], [m, m], [v, v]), ValueError, r"grad.shape=\(1, 5\)"),
        (([p, p.astype(other)], [g, g], [m, m], [v, v]), TypeError, "one dtype"),
        (([p, 3], [g, g], [m, m], [v, v]), TypeError, "arrays are NDArrays, got type=int"),
        (([p, p], [g, g], [m, m.transpose()], [v, v]), ValueError, "state"),
    ):
        with pytest.raises(error, match=r"\[adam_step\] .*" + says):
            nd.adam_steps(*arrays, **ADAM)  # type: ignore[arg-type]
        with pytest.raises(error, match=r"\[sgd_step\] .*" + says):
            nd.sgd_steps(*arrays[:3], **SGD)  # type: ignore[arg-type]
        equal(m, held)
    with pytest.raises(ValueError, match="velocity with momentum"):
        nd.sgd_steps([p], [g], None, **SGD)
    with pytest.raises(TypeError, match=r"\[sgd_step\] arrays come in a sequence, got type=NoneTy"):
        nd.sgd_steps(None, [g], [m], **SGD)  # type: ignore[arg-type]
    assert nd.sgd_steps([], [], [], **SGD) == []
    assert nd.adam_steps((), (), (), (), **ADAM) == []


def test_a_step_of_an_optimizer_takes_every_parameter_or_none(device: nd.BackendDevice) -> None:
    """Parameters of two dtypes, one without a gradient, one that joins later."""
    for make in (lambda p: ndl.optim.SGD(p, 0.1, 0.9), lambda p: ndl.optim.Adam(p, 0.1)):
        together = [ndl.Tensor(np.ones(n), device=device, dtype=t) for n, t in KINDS]
        alone = [ndl.Tensor(np.ones(n), device=device, dtype=t) for n, t in KINDS]
        whole, each = make(together), [make([p]) for p in alone]
        for step in range(3):
            for i, (p, q) in enumerate(zip(together, alone, strict=True)):
                grad = np.arange(p.shape[0]) + i - step
                for t in (p, q):
                    t.grad = ndl.Tensor(grad, device=device, dtype=p.dtype)
                    if i == 2 and step == 0:
                        t.grad = None
            whole.step()
            for one in each:
                one.step()
            for p, q in zip(together, alone, strict=True):
                np.testing.assert_array_equal(p.numpy(), q.numpy())
        held = [p.realize_cached_data() for p in together]
        state = whole.state_dict()
        together[-1].grad = ndl.Tensor(np.ones(1), device=device, dtype=together[-1].dtype)
        with pytest.raises(ValueError, match=r"grad.shape=\(1,\)"):
            whole.step()
        assert [p.realize_cached_data() for p in together] == held
        np.testing.assert_equal(whole.state_dict(), state)


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
