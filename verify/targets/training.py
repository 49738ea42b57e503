"""A model of the subject, its loss and its optimizer, one training step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from verify.spec import Broken
from verify.targets.call import _array
from verify.targets.devices import checked_device, resolve
from verify.training import Array, Batch, Setup, State, Step


class Trainer:
    """A model in training mode on one device in one dtype."""

    def __init__(self, setup: Setup, device: str, dtype: str) -> None:
        self.device, self.dtype = checked_device(device), dtype
        where = {"device": self.device, "dtype": dtype}
        self.model: Any = resolve(setup.model)(**setup.model_arguments, **where).train()
        self.parameters = self.model.parameters()
        self.optimizer: Any = resolve(setup.optimizer)(self.parameters, **setup.optimizer_arguments)
        self.loss: Any = resolve("nn.SoftmaxLoss")()

    def load(self, parameters: list[Array]) -> None:
        """Starts from these parameters. Raises: Broken when the model's have other shapes."""
        shapes, wanted = [p.shape for p in self.parameters], [p.shape for p in parameters]
        if shapes != wanted:
            raise Broken(f"the parameters have the shapes {shapes}, should have {wanted}")
        for p, value in zip(self.parameters, parameters, strict=True):
            p.cached_data = _array(value, self.device, self.dtype)

    def step(self, batch: Batch) -> Step:
        """One step as a training loop takes it."""
        from needle import Tensor, autograd

        # words are ids, in the dtype of ids
        dtype = batch.inputs.dtype.name
        x = Tensor.make_const(_array(batch.inputs, self.device, dtype), requires_grad=False)
        labels = Tensor.make_const(_array(batch.labels, self.device, "int64"), requires_grad=False)
        np.random.seed(batch.seed)
        result = self.model(x)
        loss = self.loss(result[0] if isinstance(result, tuple) else result, labels)
        self.optimizer.reset_grad()
        with autograd.no_grad():
            loss.backward()
        gradients = []
        for i, p in enumerate(self.parameters):
            if p.grad is None:
                raise Broken(f"backward gave parameter {i} no gradient")
            gradients.append(self._result(p.grad, f"the gradient of parameter {i}"))
        self.optimizer.step()
        for given, now in ((batch.inputs, x), (batch.labels, labels)):
            if now.numpy().tobytes() != np.ascontiguousarray(given).tobytes():
                raise Broken("the batch was changed by the step")
        damage = self.device.check_guards()
        if damage:
            raise Broken("memory outside an array was written: " + "; ".join(damage))
        return Step(self._result(loss, "the loss"), gradients, self.state())

    def state(self) -> State:
        """Copies of all that the next step starts from."""
        parameters = [self._result(p, f"parameter {i}") for i, p in enumerate(self.parameters)]
        named = self.model.state_dict()
        statistics = [v for name, v in named.items() if ".running_" in name]
        memory: list[dict[str, Array]] = [{} for _ in self.parameters]
        for name, value in self.optimizer.state_dict().items():
            kind, _, index = name.partition(".")
            if index and kind != "t":
                memory[int(index)][kind] = value
        return State(parameters, statistics, memory)

    def _result(self, y: Any, what: str) -> Array:
        if y.dtype != self.dtype:
            raise Broken(f"{what} has dtype {y.dtype}, should have {self.dtype}")
        if y.device != self.device:
            raise Broken(f"{what} is on {y.device!r}, should be on {self.device!r}")
        return np.array(y.numpy())
