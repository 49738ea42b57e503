"""CUDA graphs: a replayed training step is the eager one, bit for bit, on GPU and simulator."""

from __future__ import annotations

import gc
import runpy
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import nn, optim
from needle.backend_ndarray import BackendDevice, NDArray

sys.path.insert(0, str(Path(__file__).parent))
from runtime_devices import DEVICES, SIM, needs_sim, pretend

on_each = pytest.mark.parametrize("device", DEVICES)

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2),
    "Adam": lambda p: optim.Adam(p, lr=0.05, weight_decay=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5),
}


class Training:
    """A small network with batch norm, its optimizer, and room for a batch."""

    def __init__(
        self,
        device: BackendDevice,
        make: Callable[[Any], optim.Optimizer],
        dtype: str = "float32",
    ) -> None:
        np.random.seed(0)
        on: dict[str, Any] = {"device": device, "dtype": dtype}
        self.model = nn.Sequential(
            nn.Linear(6, 8, **on), nn.BatchNorm1d(8, **on), nn.ReLU(), nn.Linear(8, 3, **on)
        )
        self.optimizer = make(self.model.parameters())
        self.x = ndl.Tensor(np.zeros((5, 6)), **on, requires_grad=False)
        self.y = ndl.Tensor(np.zeros(5), device=device, requires_grad=False)
        self.loss: Any = None

    def load(self, i: int) -> None:
        rng = np.random.default_rng(i)
        self.x.realize_cached_data()[...] = rng.normal(size=(5, 6)).astype("float32")
        self.y.realize_cached_data()[...] = rng.integers(3, size=5).astype("float32")

    def step(self) -> None:
        self.optimizer.reset_grad()
        self.loss = nn.SoftmaxLoss()(self.model(self.x), self.y)
        self.loss.backward()
        self.optimizer.step()

    def state(self) -> dict[str, bytes]:
        """Everything that a step changes."""
        held = self.model.state_dict() | self.optimizer.state_dict()
        return {"loss": self.loss.numpy().tobytes()} | {k: v.tobytes() for k, v in held.items()}


@on_each
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_cuda_graph_of_a_training_step_is_the_eager_step(
    device: BackendDevice, name: str, dtype: str
) -> None:
    eager, captured = (Training(device, OPTIMIZERS[name], dtype) for _ in range(2))
    for training in (eager, captured):
        training.load(0)
        training.step()
    before = captured.state()
    with device.graph() as graph:
        captured.step()
    loss, captured.loss = captured.loss, eager.loss
    assert captured.state() == before  # capturing is no step
    captured.loss = loss
    schedules = [optim.StepLR(t.optimizer, 2, 0.5) for t in (eager, captured)]
    for i in range(1, 6):
        for training, schedule in zip((eager, captured), schedules, strict=True):
            training.load(i)
            if training is eager:
                training.step()
            else:
                graph.replay()
            schedule.step()
        assert captured.state() == eager.state()


@on_each
def test_cuda_graph_keeps_its_memory(device: BackendDevice) -> None:
    gc.collect()
    live = device.memory_stats()["live_bytes"]
    x = NDArray(np.arange(1000.0), device=device)
    with device.graph() as graph:
        y = (x + 1) * 2
    del x
    others = [device.full((1000,), 7) for _ in range(10)]
    graph.replay()
    assert y.numpy()[:3].tolist() == [2, 4, 6]
    del y
    others += [device.full((1000,), 7) for _ in range(10)]
    graph.replay()
    assert all((o.numpy() == 7).all() for o in others)
    del graph, others
    gc.collect()
    assert device.memory_stats()["live_bytes"] == live
    device.empty_cache()
    assert device.memory_stats()["cached_bytes"] == 0


@on_each
def test_cuda_graph_replays_in_the_current_stream(device: BackendDevice) -> None:
    x = NDArray(np.zeros(1000), device=device)
    with device.graph() as graph:
        x[...] = x + 1
    a, b = device.stream(), device.stream()
    for stream in (a, b, a):
        with stream:
            graph.replay()
    graph.replay()
    assert set(x.numpy()) == {4}


@on_each
def test_cuda_graph_refuses_what_needs_the_host(device: BackendDevice) -> None:
    x, elsewhere = NDArray([1.0, 2.0], device=device), NDArray([1.0])
    index = NDArray([0, 1], device=device, dtype="int64")
    logits = ndl.Tensor(np.ones((2, 2)), device=device)
    labels = ndl.Tensor(np.zeros(2), device=device)
    nn_embedding = nn.Embedding(2, 3, device=device)
    stream, event = device.stream(), device.event()
    event.record()
    for op, act in (
        ("numpy", lambda: (x + 1).numpy()),
        ("item", lambda: float(x.sum())),
        ("to", lambda: x.to(nd.cpu())),
        ("to", lambda: elsewhere.to(device)),
        ("NDArray", lambda: NDArray([3.0], device=device)),
        ("setitem", lambda: x.__setitem__(0, [5.0])),
        ("scatter_add", lambda: x.scatter_add(index, 0, 3)),
        ("rand", lambda: ndl.init.rand(2, device=device)),
        ("randn", lambda: ndl.init.randn(2, device=device)),
        ("randb", lambda: ndl.init.randb(2, device=device)),
        ("one_hot", lambda: ndl.init.one_hot(2, [1], device=device)),
        ("one_hot", lambda: ndl.one_hot([1], 2, device=device)),
        ("take", lambda: ndl.take(logits, index, 0)),
        ("take", lambda: ndl.take(logits, [0, 1], 0)),
        ("where", lambda: ndl.where(np.ones(2), logits, 0.0)),
        ("cross_entropy", lambda: ndl.cross_entropy(logits, np.zeros(2))),
        ("nn.Dropout", lambda: nn.Dropout(0.5)(logits)),
        ("nn.Embedding", lambda: nn_embedding(labels)),
        ("synchronize", device.synchronize),
        ("synchronize", stream.synchronize),
        ("synchronize", event.synchronize),
        ("record", event.record),
        ("query", event.query),
        ("wait", lambda: stream.wait(event)),
        ("stream", stream.__enter__),
        ("dlpack", x.__dlpack__),
        ("graph", device.graph().__enter__),
    ):
        graph = device.graph()
        with pytest.raises(RuntimeError, match=rf"\[{op}\].*captured"), graph:
            act()
        with pytest.raises(RuntimeError, match="nothing has been captured"):
            graph.replay()
        assert (x + 1).tolist() == [2, 3]


@on_each
def test_cuda_graph_refuses_to_leave_the_stream_around_it(device: BackendDevice) -> None:
    x, stream, graph = NDArray([1.0, 2.0], device=device), device.stream(), device.graph()
    with stream:
        with (
            pytest.raises(RuntimeError, match=r"\[stream\].*left while a graph is captured"),
            graph,
        ):
            stream.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="nothing has been captured"):
            graph.replay()
        assert x.tolist() == [1, 2]
        with device.graph() as graph:
            with pytest.raises(RuntimeError, match=r"\[stream\]"):
                stream.__exit__(None, None, None)
            y = x + 1
        graph.replay()
        assert y.tolist() == [2, 3]
    with pytest.raises(RuntimeError, match="entered last is left first"):
        stream.__exit__(None, None, None)
    del graph
    device.synchronize()
    assert (x + 1).tolist() == [2, 3]


class Constants:
    """A step of a model whose ops have numbers of the host's beside their inputs."""

    def __init__(self, device: BackendDevice, make: Callable[[Any], nn.Module], *shape: int):
        np.random.seed(0)
        self.model = make({"device": device})
        self.x = ndl.Tensor(np.zeros(shape), device=device)
        self.results: list[Any] = []

    def step(self, i: int | None = None) -> None:
        if i is not None:
            self.load(i)
        self.x.grad = None
        y = self.model(self.x)
        (y * y).sum().backward()
        self.results = [y, self.x.grad, *(p.grad for p in self.model.parameters())]

    def load(self, i: int) -> None:
        values = np.random.default_rng(i).normal(size=self.x.shape).astype("float32")
        self.x.realize_cached_data()[...] = values

    def bits(self) -> list[bytes]:
        return [r.numpy().tobytes() for r in self.results]


class Pooled(nn.Module):
    def __init__(self, padding: int = 0, count_include_pad: bool = True) -> None:
        super().__init__()
        self.how = {"padding": padding, "count_include_pad": count_include_pad}

    def forward(self, x: Any) -> Any:
        return ndl.avg_pool(x, 3, stride=2, **self.how)


CONSTANTS: dict[str, tuple[Callable[[Any], nn.Module], tuple[int, ...]]] = {
    "transformer": (lambda on: nn.TransformerLayer(8, 2, 4, 6, **on), (2, 5, 8)),
    "not causal": (lambda on: nn.TransformerLayer(8, 2, 4, 6, causal=False, **on), (2, 5, 8)),
    "no dropout": (lambda on: nn.Sequential(nn.Linear(4, 3, **on), nn.Dropout(0.0)), (2, 4)),
    "pooling": (lambda on: Pooled(), (2, 7, 7, 3)),
    "padded": (lambda on: Pooled(1), (2, 7, 7, 3)),
    "inside": (lambda on: Pooled(1, count_include_pad=False), (2, 7, 7, 3)),
}


@on_each
@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("warm", [False, True], ids=["at once", "after a step"])
def test_cuda_graph_holds_constants(device: BackendDevice, name: str, warm: bool) -> None:
    make, shape = CONSTANTS[name]
    eager, captured = (Constants(device, make, *shape) for _ in range(2))
    if warm:
        captured.step(9)
    with device.graph() as graph:
        captured.step()
    with pytest.raises(RuntimeError, match=r"\[replay\].*captured"), device.graph():
        graph.replay()
    others = [device.full((4,), 7.0) for _ in range(20)]  # where a constant might have been
    for i in range(3):
        eager.step(i)
        captured.load(i)
        graph.replay()
        assert captured.bits() == eager.bits()
    del others


@on_each
def test_cuda_graph_goes_on_from_the_running_statistics_of_eager_steps(
    device: BackendDevice,
) -> None:
    eager, captured = (Training(device, OPTIMIZERS["SGD"]) for _ in range(2))
    norms = [t.model.modules[1] for t in (eager, captured)]
    captured.load(0)
    with device.graph() as graph:
        captured.model(captured.x)
    for i in range(1, 7):
        for training in (eager, captured):
            training.load(i)
            if training is captured and i % 3:
                graph.replay()
            else:
                training.model(training.x)
        if i == 5:
            for training in (eager, captured):
                state = training.model.state_dict()
                training.model.load_state_dict({k: v * 2 for k, v in state.items()})
        for name in ("running_mean", "running_var"):
            got, want = (getattr(norm, name).numpy() for norm in (norms[1], norms[0]))
            assert got.tobytes() == want.tobytes(), (i, name)


@on_each
def test_cuda_graph_in_evaluation_reads_the_running_statistics_in_use(
    device: BackendDevice,
) -> None:
    norm = nn.BatchNorm1d(3, device=device)
    x = ndl.Tensor(np.random.default_rng(0).normal(size=(6, 3)) * 4 + 5, device=device)
    with device.graph() as trained:
        norm(x)
    norm.eval()
    with device.graph() as graph:
        y = norm(x)

    def train() -> None:
        norm.train()
        norm(x)
        norm.eval()

    def load() -> None:
        held = norm.state_dict()
        held = {k: v * 2 if k.startswith("running") else v for k, v in held.items()}
        norm.load_state_dict(held)

    for change in (lambda: None, train, load, trained.replay, train, trained.replay):
        change()
        graph.replay()
        assert y.numpy().tobytes() == norm(x).numpy().tobytes()
    with device.graph() as both:  # an evaluation behind a training step of the same graph
        norm.train()
        norm(x)
        norm.eval()
        y = norm(x)
    train()
    both.replay()
    assert y.numpy().tobytes() == norm(x).numpy().tobytes()


@on_each
def test_cuda_graph_ends_in_the_thread_that_began_it(device: BackendDevice) -> None:
    x = NDArray([1.0], device=device)
    errors: list[BaseException] = []

    def leave(graph: Any, *error: Any) -> None:
        try:
            graph.__exit__(*error)
        except RuntimeError as caught:
            errors.append(caught)

    with device.graph() as graph:
        y = x + 1
        for error in ((None, None, None), (KeyError, KeyError(), None)):
            thread = threading.Thread(target=leave, args=(graph, *error))
            thread.start()
            thread.join()
        y = y * 3
    assert [str(e) for e in errors] == ["[graph] a capture ends in the thread that began it"] * 2
    graph.replay()
    assert y.item() == 6
    with pytest.raises(RuntimeError, match="in the thread that began it"):
        graph.__exit__(None, None, None)


@needs_sim
def test_cuda_graph_one_thread_captures_one_graph() -> None:
    with pretend(devices=2):
        other = nd.cuda_sim(1)
        with SIM.graph() as graph:
            with pytest.raises(RuntimeError, match=r"\[graph\] another graph"), other.graph():
                pass
            y = SIM.full((1,), 2.0) + 1
        graph.replay()
        assert y.item() == 3


@on_each
def test_cuda_graph_is_captured_once_and_replayed_outside(device: BackendDevice) -> None:
    x = NDArray([1.0], device=device)
    with device.graph() as graph:
        y = x + 1
    graph.replay()
    assert y.item() == 2
    with pytest.raises(RuntimeError, match="captured once"), graph:
        pass
    with pytest.raises(RuntimeError, match=r"\[replay\].*captured"), device.graph():
        graph.replay()


@on_each
@pytest.mark.parametrize("name", ["momentum", "Adam", "RMSprop"])
def test_cuda_graph_of_a_first_step_is_refused(device: BackendDevice, name: str) -> None:
    training = Training(device, OPTIMIZERS[name])
    with (
        pytest.raises(RuntimeError, match=r"a step is taken before one is captured.*params\[0\]"),
        device.graph(),
    ):
        training.step()


class Rebinding(optim.SGD):
    def step(self) -> None:
        for _, p, value, grad in self._updates():
            p.cached_data = value - grad


@on_each
def test_cuda_graph_refuses_a_step_that_would_repeat_itself(device: BackendDevice) -> None:
    training = Training(device, Rebinding)
    with pytest.raises(RuntimeError, match=r"\[Rebinding\].*in place"), device.graph():
        training.step()
    schedule = optim.StepLR(training.optimizer, 2)
    with pytest.raises(RuntimeError, match=r"\[StepLR\]"), device.graph():
        schedule.step()
    with pytest.raises(RuntimeError, match=r"\[clip_grad_norm\]"), device.graph():
        training.optimizer.clip_grad_norm()


@on_each
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_cuda_graph_refuses_to_step_arrays_that_are_no_longer_in_use(
    device: BackendDevice, name: str
) -> None:
    run = Training(device, OPTIMIZERS[name])
    run.load(0)
    run.step()
    with device.graph() as graph:
        run.step()
    graph.replay()
    before = run.state()
    for i, parameter in enumerate(run.model.parameters()):
        kept = parameter.cached_data
        parameter.data = parameter.detach() * 2
        refused = rf"capture again .* got a new array for params\[{i}\]"
        with pytest.raises(RuntimeError, match=refused):
            graph.replay()
        parameter.cached_data = kept
        assert run.state() == before, "a refused replay changes nothing"
    graph.replay()
    run.step()  # eager
    with pytest.raises(RuntimeError, match="capture again"):
        graph.replay()
    with device.graph() as graph:
        run.step()
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    if name != "SGD":  # which remembers nothing
        with pytest.raises(RuntimeError, match="capture again"):
            graph.replay()


@on_each
def test_cuda_graph_in_checked_mode(device: BackendDevice) -> None:
    device.check_guards()
    device.set_checked(True)
    try:
        x = NDArray(np.arange(100.0), device=device)
        with device.graph() as graph:
            y = (x * 2).sum()
        graph.replay()
        assert y.item() == 9900
        assert device.check_guards() == []
    finally:
        device.set_checked(False)


def test_cuda_example_of_the_docs_runs() -> None:
    runpy.run_path(str(Path(__file__).parents[2] / "docs" / "examples" / "cuda_runtime.py"))
