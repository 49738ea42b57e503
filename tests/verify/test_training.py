"""Training steps and trajectories: planted faults are found, correct training raises no alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from needle import nn, optim
from needle.autograd import Tensor
from verify import checks, registry, sampling
from verify.judges import Finding, examine
from verify.registry.training import adam_reach
from verify.spec import IMPOSTORS, Case, Status, UsageError, Verdict

ROWS = registry.rows()


def cases(name: str, judge: str, dtype: str = "float64", seed: int = 0) -> list[Case]:
    """Those of the row whose data need no folder."""
    planned = registry.plan_cases(ROWS[name], "numpy", dtype, judge, seed)
    return [case for case in planned if case.region != "mnist"]


def verdicts(name: str, judge: str, dtype: str = "float64") -> list[Verdict]:
    return [checks.run_case(case) for case in cases(name, judge, dtype)]


def failures(name: str, judge: str, dtype: str = "float64") -> list[Finding]:
    """What is told of a fault; the other devices are left alone."""
    found = [examine(case, ROWS[name]) for case in cases(name, judge, dtype)]
    return [f for f in found if f.status is Status.FAIL]


# --- faults: each changes one class of needle


def settings(**changed: Callable[[float], float]) -> Callable[[pytest.MonkeyPatch, Any], None]:
    """Hyper-parameters that an optimizer takes for others."""

    def plant(patch: pytest.MonkeyPatch, kind: Any) -> None:
        step = kind.step

        def wrong(self: Any) -> None:
            kept = {name: getattr(self, name) for name in changed}
            for name, change in changed.items():
                setattr(self, name, change(kept[name]))
            step(self)
            for name, value in kept.items():
                setattr(self, name, value)

        patch.setattr(kind, "step", wrong)

    return plant


def no_bias_correction(patch: pytest.MonkeyPatch, kind: Any) -> None:
    step = kind.step

    def wrong(self: Any) -> None:
        self.t = dict.fromkeys(range(len(self.params)), 1000)
        step(self)

    patch.setattr(kind, "step", wrong)


def decayed_twice(patch: pytest.MonkeyPatch, kind: Any) -> None:
    step = kind.step

    def wrong(self: Any) -> None:
        for p in self.params:
            p.grad = Tensor(p.grad.detach() + p.detach() * self.weight_decay, dtype=p.dtype)
        step(self)

    patch.setattr(kind, "step", wrong)


def does_nothing(patch: pytest.MonkeyPatch, kind: Any) -> None:
    patch.setattr(kind, "step", lambda self: None)


def step_that_keeps_parameters(patch: pytest.MonkeyPatch, kind: Any) -> None:
    step = kind.step

    def wrong(self: Any) -> None:
        kept = [p.cached_data for p in self.params]
        step(self)
        for p, data in zip(self.params, kept, strict=True):
            p.cached_data = data

    patch.setattr(kind, "step", wrong)


OPTIMIZER_FAULTS: dict[str, tuple[str, Any]] = {
    "momentum 0.9 is 0.89": ("SGD", settings(momentum=lambda m: m - 0.01 if m else m)),
    "lr off by 1e-6": ("SGD", settings(lr=lambda lr: lr * (1 + 1e-6))),
    "Adam's lr off by 1e-6": ("Adam", settings(lr=lambda lr: lr * (1 + 1e-6))),
    "weight decay twice": ("SGD", decayed_twice),
    "AdamW's weight decay twice": ("AdamW", settings(weight_decay=lambda w: 2 * w)),
    "no eps": ("Adam", settings(eps=lambda eps: 0.0)),
    "RMSprop without eps": ("RMSprop", settings(eps=lambda eps: 0.0)),
    "no bias correction": ("Adam", no_bias_correction),
    "nothing happens": ("SGD", does_nothing),
    "parameters stay": ("RMSprop", step_that_keeps_parameters),
}


@pytest.mark.parametrize("fault", OPTIMIZER_FAULTS)
@pytest.mark.parametrize("judge", ["step", "trajectory"])
def test_faults_of_optimizers_are_found(
    fault: str, judge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, plant = OPTIMIZER_FAULTS[fault]
    plant(monkeypatch, getattr(optim, name))
    assert failures(f"optim.{name}", judge)


def running(combine: Callable[[Any, Any, int], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Running statistics made as told from (old, new, elements of a channel)."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        forward = nn.BatchNorm1d.forward

        def wrong(self: Any, x: Tensor) -> Tensor:
            old = [t.numpy() for t in (self.running_mean, self.running_var)]
            y = forward(self, x)
            for t, before in zip((self.running_mean, self.running_var), old, strict=True):
                found = (t.numpy() - 0.9 * before) / 0.1
                n = int(np.prod(x.shape)) // x.shape[1]
                made = combine(before, found, n if t is self.running_var else 0)
                t.data = Tensor(made, device=x.device, dtype=x.dtype, requires_grad=False)
            return y

        patch.setattr(nn.BatchNorm1d, "forward", wrong)

    return plant


def detached(owner: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """A module whose input's gradient is lost, though its parameters keep theirs."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        forward = owner.forward
        patch.setattr(owner, "forward", lambda self, x, *rest: forward(self, x.detach(), *rest))

    return plant


MODEL_FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "momentum swapped": ("MLPResNet", running(lambda old, new, n: 0.1 * old + 0.9 * new)),
    "unbiased": (
        "MLPResNet",
        running(lambda old, new, n: 0.9 * old + 0.1 * new * (n / (n - 1) if n else 1)),
    ),
    "detached input": ("MLPResNet", detached(nn.BatchNorm1d)),
    "detached attention": ("LanguageModel", detached(nn.TransformerLayer)),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
@pytest.mark.parametrize("judge", ["step", "trajectory"])
def test_faults_of_models_are_found(
    fault: str, judge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, plant = MODEL_FAULTS[fault]
    plant(monkeypatch)
    assert failures(f"models.{name}", judge)


# --- no alarm, and evidence


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.training])
def test_single_steps_pass_and_tell_impostors_apart(name: str, dtype: str) -> None:
    for v in verdicts(name, "step", dtype):
        assert v.status is Status.PASS, v.message
        assert v.impostors == ()
        assert v.budget["share claimed"] > 0.75
    share = min(v.budget["share told from 0"] for v in verdicts(name, "step", dtype))
    assert share > 0.9


@pytest.mark.parametrize("name", ["optim.SGD", "optim.Adam", "models.LanguageModel"])
def test_trajectories_pass_and_tell_impostors_apart(name: str) -> None:
    for v in verdicts(name, "trajectory"):
        assert v.status is Status.PASS, v.message
        assert v.impostors == ()


def test_an_impostor_in_one_kind_of_array_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is claimed of gradients, the verdict says so, whatever the parameters tell."""
    from verify.judges import training

    make = training._parts

    def parts(*arguments: Any) -> Any:
        found = make(*arguments)
        for p in found:
            if p.kind == "gradient":
                p.want = training.Expected(p.want.value, np.full(p.want.value.shape, np.inf))
        return found

    monkeypatch.setattr(training, "_parts", parts)
    (verdict, *_) = verdicts("optim.SGD", "step")
    assert set(verdict.impostors) == set(IMPOSTORS) - {"copy"}


def test_a_declared_parameter_may_not_run_away(monkeypatch: pytest.MonkeyPatch) -> None:
    step = optim.Adam.step

    def wrong(self: Any) -> None:
        step(self)
        p = self.params[3]  # the bias before the first batch norm
        p.cached_data = p.cached_data + 0.25

    monkeypatch.setattr(optim.Adam, "step", wrong)
    assert any("p3 moved by" in f.worst for f in failures("models.MLPResNet", "step"))


@pytest.mark.parametrize("step", [1, 2, 7])
def test_adam_moves_no_further_than_its_reach(step: int) -> None:
    lr, b1, b2 = 0.5, 0.75, 0.9375
    rng = np.random.default_rng(step)
    drawn = rng.standard_normal((2000, step))
    # the gradients for which Cauchy-Schwarz is an equation
    drawn[0] = (b1 / b2) ** np.arange(step)[::-1]
    m = v = np.zeros(len(drawn))
    for g in drawn.T:
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    moved = lr * np.abs(m / (1 - b1**step)) / np.sqrt(v / (1 - b2**step))
    reach = adam_reach(step, lr, b1, b2, 0.0)
    assert moved.max() <= reach * (1 + 1e-12)
    assert moved[0] == pytest.approx(reach)


# --- ids and data


def test_an_id_with_other_arguments_is_a_usage_error() -> None:
    case = cases("optim.Adam", "step")[0]
    with pytest.raises(UsageError, match="not trained like that"):
        checks.run_case(Case.parse(case.id.replace("beta1=0.75", "beta1=0.5")))


def test_real_images_and_labels_are_trained_on(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip
    import struct

    rng = np.random.default_rng(0)
    pixels, labels = (
        rng.integers(0, n, shape, np.uint8) for n, shape in ((256, (40, 28, 28)), (10, (40,)))
    )
    header = struct.pack(">4I", 0x803, 40, 28, 28)
    (tmp_path / sampling.IMAGES).write_bytes(gzip.compress(header + pixels.tobytes()))
    (tmp_path / sampling.LABELS).write_bytes(
        gzip.compress(struct.pack(">2I", 0x801, 40) + labels.tobytes())
    )
    monkeypatch.setenv(sampling.DATA_VARIABLE, str(tmp_path))
    for name in ("models.MLPResNet", "models.ResNet9"):
        planned = registry.plan_cases(ROWS[name], "cpu", "float32", "step", 0)
        (real,) = [case for case in planned if case.region == "mnist"]
        assert checks.run_case(real).status is Status.PASS
    (tmp_path / sampling.LABELS).unlink()
    with pytest.raises(UsageError, match="holds no t10k-labels"):
        checks.run_case(real)


def test_images_take_the_shape_of_the_model() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    wide = sampling.fitted(images, (2, 3, 32, 32))
    assert np.array_equal(wide[:, 1, 2:-2, 2:-2], images / 255.0)
    assert not wide[:, :, :2].any()
    assert np.array_equal(sampling.fitted(images, (2, 784)), images.reshape(2, 784) / 255.0)
    with pytest.raises(UsageError, match="images of shape"):
        sampling.fitted(images, (2, 30, 30))
