"""init, optim and data: the draws, the formulas and the batches that golden values depend on."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import autograd, data, init, optim
from needle.backend_ndarray import BackendDevice

ROOT2 = math.sqrt(2)
# Semantic 5: one draw from numpy's global generator each.
DRAWS = {
    "rand": (
        lambda **k: init.rand(4, 5, low=-1, high=3, **k),
        lambda: np.random.rand(4, 5) * 4 - 1,
    ),
    "randn": (
        lambda **k: init.randn(4, 5, mean=1, std=2, **k),
        lambda: np.random.randn(4, 5) * 2 + 1,
    ),
    "randb": (lambda **k: init.randb(4, 5, p=0.3, **k), lambda: np.random.rand(4, 5) <= 0.3),
    "kaiming_uniform": (
        lambda **k: init.kaiming_uniform(4, 5, **k),
        lambda: (np.random.rand(4, 5) * 2 - 1) * ROOT2 * math.sqrt(3 / 4),
    ),
    "kaiming_uniform of a shape": (
        lambda **k: init.kaiming_uniform(4, 5, shape=(3, 2), **k),
        lambda: (np.random.rand(3, 2) * 2 - 1) * ROOT2 * math.sqrt(3 / 4),
    ),
    "kaiming_normal": (
        lambda **k: init.kaiming_normal(4, 5, **k),
        lambda: np.random.randn(4, 5) * ROOT2 / 2,
    ),
    "xavier_uniform": (
        lambda **k: init.xavier_uniform(4, 5, gain=1.5, **k),
        lambda: (np.random.rand(4, 5) * 2 - 1) * 1.5 * math.sqrt(6 / 9),
    ),
    "xavier_normal": (
        lambda **k: init.xavier_normal(4, 5, gain=1.5, **k),
        lambda: np.random.randn(4, 5) * 1.5 * math.sqrt(2 / 9),
    ),
    "Linear": (
        lambda **k: ndl.nn.Linear(4, 5, **k).weight,
        lambda: (np.random.rand(4, 5) * 2 - 1) * ROOT2 * math.sqrt(3 / 4),
    ),
    "device.rand": (lambda device: device.rand(2, 3), lambda: np.random.rand(2, 3)),
    "device.randn": (lambda device: device.randn(2, 3), lambda: np.random.randn(2, 3)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_course_init_is_one_draw_of_numpys_generator(device: BackendDevice, name: str) -> None:
    ours, theirs = DRAWS[name]
    np.random.seed(42)
    got = ours(device=device)
    if name != "Linear":  # its bias draws too
        after = np.random.rand()
    np.random.seed(42)
    want = theirs()
    assert (got.device, got.dtype) == (device, "float32")
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6, atol=1e-7)
    if name != "Linear":
        assert np.random.rand() == after


def test_course_init_constants(device: BackendDevice) -> None:
    for t, value in (
        (init.ones(2, 3, device=device), 1),
        (init.zeros(2, 3, device=device), 0),
        (init.constant(2, 3, c=7, device=device), 7),
        (init.ones_like(init.rand(2, 3, device=device)), 1),
        (init.zeros_like(init.rand(2, 3, device=device), requires_grad=True), 0),
    ):
        assert (t.shape, t.dtype, t.device) == ((2, 3), "float32", device)
        assert (t.numpy() == value).all()
    assert not init.ones(2).requires_grad
    assert init.rand(2, requires_grad=True).requires_grad
    for i in (
        ndl.Tensor([2, 0, 1], device=device),
        ndl.Tensor([2, 0, 1], dtype="int32", device=device),
    ):
        assert init.one_hot(3, i, device=device).numpy().tolist() == np.eye(3)[[2, 0, 1]].tolist()


def reference_steps(kind: str, how: dict[str, float], p: Any, grads: list[Any]) -> Any:
    """Semantic 9, in float64."""
    lr, wd = how.get("lr", 0.01), how.get("weight_decay", 0.0)
    m, v = 0.0, 0.0
    for t, g in enumerate(grads, 1):
        g = g + wd * p
        if kind == "SGD":
            momentum = how.get("momentum", 0.0)
            m = momentum * m + (1 - momentum) * g
            p = p - lr * m
        else:
            b1, b2 = how.get("beta1", 0.9), how.get("beta2", 0.999)
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            p = p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + how.get("eps", 1e-8))
    return p


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("SGD", {}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
        ("Adam", {}),
        ("Adam", {"lr": 0.1, "beta1": 0.7, "beta2": 0.8, "eps": 0.01, "weight_decay": 0.1}),
    ],
)
def test_course_optimizer_formulas(device: BackendDevice, kind: str, how: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((2, 3)), rng.standard_normal((4, 2, 3))
    p = ndl.nn.Parameter(ndl.Tensor(start, device=device, dtype="float64"))
    still = ndl.nn.Parameter(ndl.Tensor(start, device=device, dtype="float64"))
    opt = getattr(optim, kind)([p, still], **how)
    counts = []
    for g in grads:
        p.grad = ndl.Tensor(g, device=device, dtype="float64", requires_grad=False)
        opt.step()
        np.testing.assert_array_equal(p.grad.numpy(), g)  # a step modifies no gradient
        gc.collect()
        counts.append(autograd.TENSOR_COUNTER)
    assert len(set(counts)) == 1
    np.testing.assert_allclose(
        p.numpy(), reference_steps(kind, how, start, list(grads)), rtol=1e-12
    )
    np.testing.assert_array_equal(still.numpy(), start)  # it has no gradient
    opt.reset_grad()
    assert p.grad is None


def test_course_clip_grad_norm(device: BackendDevice) -> None:
    ps = [ndl.nn.Parameter(ndl.Tensor([0.0, 0.0], device=device)) for _ in range(2)]
    ps[0].grad, ps[1].grad = (ndl.Tensor(v, device=device) for v in ([3.0, 0.0], [0.0, 4.0]))
    optim.SGD(ps).clip_grad_norm(10.0)
    assert ps[0].grad.numpy().tolist() == [3, 0]
    optim.SGD(ps).clip_grad_norm(1.0)
    np.testing.assert_allclose(ps[1].grad.numpy(), [0, 0.8], rtol=1e-5)


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (9, 3), (2, 5), (1, 1)])
def test_course_data_loader_draws_one_shuffle_per_pass(n: int, batch: int) -> None:
    """Semantic 11."""
    x, y = np.arange(n * 2.0).reshape(n, 2), np.arange(n)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    loader = data.DataLoader(data.NDArrayDataset(x, y), batch_size=batch, shuffle=True)
    assert (np.random.get_state()[1] == state).all()
    passes = [[b[1].numpy().tolist() for b in loader] for _ in range(2)]
    np.random.seed(0)
    for got in passes:
        order = np.arange(n)
        np.random.shuffle(order)
        want = [c.tolist() for c in np.array_split(order, range(batch, n, batch))]
        assert got == want
    plain = data.DataLoader(data.NDArrayDataset(x, y), batch_size=batch)
    for a, b in plain:
        assert isinstance(a, ndl.Tensor)
        np.testing.assert_array_equal(a.numpy(), x[b.numpy().astype(int)])


def test_course_transforms_draw_in_order() -> None:
    image = np.arange(60.0).reshape(4, 5, 3)
    np.random.seed(3)
    flips = [data.RandomFlipHorizontal(p=0.5)(image) for _ in range(6)]
    crops = [data.RandomCrop(padding=2)(image) for _ in range(6)]
    np.random.seed(3)
    for got in flips:
        np.testing.assert_array_equal(got, image[:, ::-1] if np.random.rand() < 0.5 else image)
    for got in crops:
        down, right = np.random.randint(-2, 3, size=2)
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
        np.testing.assert_array_equal(got, padded[2 + down : 6 + down, 2 + right : 7 + right])


def test_course_text(tmp_path: Path, device: BackendDevice) -> None:
    """Semantic 16: batchify gives columns, targets are the rows one further on."""
    (tmp_path / "train.txt").write_text("a b c\nb d\n")
    (tmp_path / "test.txt").write_text("d a\n")
    corpus = data.Corpus(str(tmp_path))
    assert corpus.train == [0, 1, 2, 3, 1, 4, 3]
    assert corpus.test == [4, 0, 3]
    assert len(corpus.dictionary) == 5
    assert corpus.dictionary.idx2word[corpus.dictionary.word2idx["d"]] == "d"
    assert data.Corpus(str(tmp_path), max_lines=1).train == [0, 1, 2, 3]
    batches = data.batchify(list(range(10)), 3, device=device, dtype="float32")
    assert np.asarray(batches).tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    x, y = data.get_batch(batches, 0, 5, device=device, dtype="float32")
    assert x.numpy().tolist() == [[0, 3, 6], [1, 4, 7]]
    assert y.numpy().tolist() == [1, 4, 7, 2, 5, 8]
    assert x.device == device
