"""Faults in recurrent layers, transformers and optimizers: their rows find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from needle import nn, ops, optim
from needle.nn import recurrent
from verify import checks, registry
from verify.spec import Status

ROWS = registry.rows()


def statuses(name: str, judge: str) -> set[Status]:
    """Of every sample once, as it comes."""
    cases = registry.plan_cases(ROWS[name], "numpy", "float64", judge, 0)
    cases = [c for c in cases if (c.layout, c.region) == ("compact", "interior")]
    return {checks.run_case(c).status for c in cases}


def lstm_step(order: str, tanh_of_c: bool = True, detach: bool = False) -> Callable[..., Any]:
    def step(self: Any, projected: Any, state: Any) -> Any:
        h, c = state
        gates = projected + (h.detach() if detach else h) @ self.W_hh
        parts = ops.split(ops.reshape(gates, (h.shape[0], 4, self.hidden_size)), 1)
        i, f, g, o = (parts["ifgo".index(k)] for k in order)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * (ops.tanh(c) if tanh_of_c else c), c

    return step


def lstm_run(tanh_of_c: bool = True, detach: bool = False) -> Callable[..., Any]:
    step = lstm_step("ifgo", tanh_of_c, detach)

    def run(self: Any, projected: Any, state: Any) -> Any:
        outputs = []
        for part in ops.split(projected, 0):
            state = step(self, part, state)
            outputs.append(state[0])
        return ops.stack(outputs, 0), state

    return run


def attention(heads_last: bool) -> Callable[..., Any]:
    def heads(self: Any, t: Any) -> Any:
        shape = (*t.shape[:2], self.dim_head, self.num_head)
        return ops.permute(ops.reshape(t, shape), (0, 3, 1, 2))

    return heads if heads_last else nn.AttentionLayer._heads


def undamped(self: Any) -> None:
    for i, p, value, grad in self._updates():
        self.u[i] = self.u[i] * self.momentum + grad if i in self.u else grad
        p.cached_data = value - self.u[i] * self.lr


def last_state_of_the_last_layer(self: Any, cells: Any, X: Any, given: Any) -> Any:
    outputs, state = RUN(self, cells, X, given)
    return outputs, tuple(ops.stack([s[-1]] * len(cells), 0) for s in state)


RUN = recurrent._Recurrent._run
FORWARD = nn.TransformerLayer.forward


def without_relu(self: Any, x: Any) -> Any:
    x = x + self.dropout(self.attention(x))
    return x + self.dropout(self.linear2(self.dropout(self.linear1(self.norm(x)))))


def post_norm(self: Any, x: Any) -> Any:
    return self.norm(FORWARD(self, x))


FAULTS: dict[str, tuple[str, str, Any, str, Any]] = {
    "gates i, f, o, g": ("nn.LSTMCell", "forward", nn.LSTMCell, "step", lstm_step("ifog")),
    "no tanh of c": ("nn.LSTM", "forward", nn.LSTMCell, "run", lstm_run(tanh_of_c=False)),
    "h without gradient": ("nn.LSTM", "vjp", nn.LSTMCell, "run", lstm_run(detach=True)),
    "h without gradient, fd": (
        "models.LanguageModel", "fd", nn.LSTMCell, "run", lstm_run(detach=True),
    ),
    "no h": (
        "nn.RNNCell", "forward", nn.RNNCell, "step", lambda self, p, state: (ops.tanh(p),),
    ),
    "biases left out": (
        "nn.RNN", "forward", nn.RNNCell, "project", lambda self, x: x @ self.W_ih,
    ),
    "states of one layer": (
        "nn.RNN", "forward", recurrent._Recurrent, "_run", last_state_of_the_last_layer,
    ),
    "heads last": (
        "nn.AttentionLayer", "forward", nn.AttentionLayer, "_heads", attention(True),
    ),
    "no ReLU": ("nn.TransformerLayer", "forward", nn.TransformerLayer, "forward", without_relu),
    "norm after": ("nn.Transformer", "forward", nn.TransformerLayer, "forward", post_norm),
    "momentum undamped": ("optim.SGD", "forward", optim.SGD, "step", undamped),
    "decay coupled": ("optim.AdamW", "forward", optim.AdamW, "decoupled", False),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, judge, owner, attribute, wrong = FAULTS[fault]
    monkeypatch.setattr(checks, "explain", lambda *_: None)  # the finding is enough
    monkeypatch.setattr(owner, attribute, wrong)
    assert Status.FAIL in statuses(name, judge)


@pytest.mark.parametrize("name", sorted({fault[0] for fault in FAULTS.values()}))
def test_without_a_fault_all_pass(name: str) -> None:
    for judge in ("forward", "vjp"):
        assert statuses(name, judge) <= {Status.PASS}


def test_cells_made_by_hand_are_the_layers() -> None:
    """The faults above replace `step`: with the right order it is the layer's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.LSTMCell, "step", lstm_step("ifgo"))
        assert statuses("nn.LSTM", "vjp") == {Status.PASS}
