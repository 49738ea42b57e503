"""CUDA graphs: a replayed training step is the eager one, bit for bit, on GPU and simulator."""

from __future__ import annotations

import gc
import runpy
import sys
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
from runtime_devices import DEVICES

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

    def __init__(self, device: BackendDevice, make: Callable[[Any], optim.Optimizer]) -> None:
        np.random.seed(0)
        self.model = nn.Sequential(
            nn.Linear(6, 8, device=device),
            nn.BatchNorm1d(8, device=device),
            nn.ReLU(),
            nn.Linear(8, 3, device=device),
        )
        self.optimizer = make(self.model.parameters())
        self.x = ndl.Tensor(np.zeros((5, 6)), device=device, requires_grad=False)
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
def test_cuda_graph_of_a_training_step_is_the_eager_step(device: BackendDevice, name: str) -> None:
    eager, captured = (Training(device, OPTIMIZERS[name]) for _ in range(2))
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
    x = NDArray([1.0, 2.0], device=device)
    stream, event = device.stream(), device.event()
    event.record()
    for op, act in (
        ("copy to the host", lambda: (x + 1).numpy()),
        ("copy to the host", lambda: float(x.sum())),
        ("copy to the host", lambda: x.to(nd.cpu())),
        ("copy to the device", lambda: NDArray([3.0], device=device)),
        ("copy to the device", lambda: x.__setitem__(0, [5.0])),
        ("synchronize", device.synchronize),
        ("synchronize", stream.synchronize),
        ("synchronize", event.synchronize),
        ("record", event.record),
        ("query", event.query),
        ("wait", lambda: stream.wait(event)),
        ("stream", stream.__enter__),
        ("graph", device.graph().__enter__),
    ):
        graph = device.graph()
        with pytest.raises(RuntimeError, match=rf"\[{op}\].*captured"), graph:
            act()
        with pytest.raises(RuntimeError, match="nothing has been captured"):
            graph.replay()
        assert (x + 1).tolist() == [2, 3]


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
    with pytest.raises(RuntimeError, match="copy to the host"), device.graph():
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
    parameter = run.model.parameters()[0]
    kept = parameter.cached_data
    parameter.data = parameter.detach() * 2
    with pytest.raises(RuntimeError, match=r"capture again .* got a new array for params\[0\]"):
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
