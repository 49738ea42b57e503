"""The judge `distribution`: right draws are never accused, wrong ones are, each by its equation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from needle import Tensor, init, nn
from verify import checks, laws, registry
from verify.laws import Bernoulli, Normal, Uniform
from verify.sampling import Array
from verify.spec import Case, Status, UsageError, Verdict
from verify.summary import impostors

MANY = (201, 307)
UNIT = 2.0**-24


@pytest.fixture(autouse=True)
def _own_generator() -> Iterator[None]:
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def _evidence(law: Any, draw: Callable[[], Array], seed: int = 0) -> laws.Evidence:
    np.random.seed(seed)
    drawn = [np.asarray(draw(), np.float32) for _ in range(3)]
    evidence: laws.Evidence = law.evidence(drawn, UNIT)
    return evidence


RIGHT = [
    Uniform(MANY, 0.0, 1.0),
    Uniform(MANY, -0.25, 0.125),
    Normal(MANY),
    Normal(MANY, 0.75, 3.0),
    Bernoulli(MANY, 0.5),
    Bernoulli(MANY, 0.03),
]


@pytest.mark.parametrize("law", RIGHT, ids=str)
def test_what_a_law_draws_is_of_the_law(law: Any) -> None:
    ratios = [_evidence(law, lambda: law.replay(UNIT)[0], seed).ratio for seed in range(6)]
    assert 0.02 < max(ratios) < 0.8  # of many tests, far from being accused, and not vacuous


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3, 2), (0, 4), (1, 40), (33,)])
@pytest.mark.parametrize("kind", [Uniform, Normal, Bernoulli], ids=lambda k: k.__name__)
def test_few_draws_are_never_accused(kind: Any, shape: tuple[int, ...]) -> None:
    parameters = {Uniform: (-1.0, 3.0), Normal: (0.5, 2.0), Bernoulli: (0.25,)}
    law = kind(shape, *parameters[kind])
    for seed in range(30):
        assert _evidence(law, lambda: law.replay(UNIT)[0], seed).ratio < 1


def _truncated(reach: float) -> Array:
    z = np.random.randn(*MANY)
    while (odd := np.abs(z) > reach).any():
        z[odd] = np.random.randn(int(odd.sum()))
    return z


def _repeating(block: int) -> Array:
    z = np.random.randn(math.prod(MANY))
    z[40_000 : 40_000 + block] = z[17 : 17 + block]
    return z.reshape(MANY)


_rand, _randn = np.random.rand, np.random.randn
_SAME = np.random.default_rng(5).standard_normal(MANY)
WRONG = {
    "std 2 % large": (Normal(MANY), lambda: 1.02 * _randn(*MANY), "standard deviation"),
    "std 2 % small": (Normal(MANY), lambda: 0.98 * _randn(*MANY), "standard deviation"),
    "width 2 % small": (
        Uniform(MANY, -1, 1),
        lambda: 0.98 * (2 * _rand(*MANY) - 1),
        "standard deviation|share",
    ),
    "width 2 % large": (
        Uniform(MANY, -1, 1),
        lambda: 1.02 * (2 * _rand(*MANY) - 1),
        r"should lie in \[-1, 1\]",
    ),
    "gain forgotten": (Normal(MANY, 0, 2**0.5), lambda: _randn(*MANY), "standard deviation|share"),
    "fans swapped": (
        Normal(MANY, 0, (2 / 201) ** 0.5),
        lambda: (2 / 307) ** 0.5 * _randn(*MANY),
        "standard deviation|share",
    ),
    "uniform for normal": (
        Normal(MANY),
        lambda: 12**0.5 * (_rand(*MANY) - 0.5),
        "share",
    ),
    "normal for uniform": (
        Uniform(MANY, -1, 1),
        lambda: _randn(*MANY) / 3**0.5,
        "should lie in",
    ),
    "mean shifted": (Normal(MANY), lambda: 0.05 + _randn(*MANY), "mean of"),
    "low forgotten": (Uniform(MANY, -1, 1), lambda: _rand(*MANY), "mean|share"),
    "tails cut at 2": (Normal(MANY), lambda: _truncated(2.0), "share|standard"),
    "tails cut at 3": (Normal(MANY), lambda: _truncated(3.0), "share"),
    "another shape of the same variance": (
        Normal(MANY),
        lambda: np.random.laplace(0, 0.5**0.5, MANY),
        "share|should lie in",
    ),
    "a block again": (Normal(MANY), lambda: _repeating(12), "come again"),
    "every row the same": (
        Uniform(MANY, 0, 1),
        lambda: np.broadcast_to(_rand(MANY[1]), MANY),
        "come again|apart",
    ),
    "neighbours alike": (
        Normal(MANY),
        lambda: np.convolve(_randn(math.prod(MANY) + 1), [0.995, 0.1], "valid").reshape(MANY),
        "draws 1 apart",
    ),
    "rows alike": (
        Normal(MANY),
        lambda: 0.995 * (z := _randn(*MANY)) + 0.1 * np.roll(z, 1, 0),
        "draws 307 apart",
    ),
    "every call the same": (Normal(MANY), lambda: _SAME, "come again|apart"),
    "nan": (Normal(MANY), lambda: np.where(_rand(*MANY) < 1e-4, np.nan, _randn(*MANY)), "nan"),
    "an infinity": (Normal(MANY), lambda: _randn(*MANY) / (_rand(*MANY) > 1e-4), "inf"),
    "p 4 % large": (Bernoulli(MANY, 0.5), lambda: _rand(*MANY) <= 0.52, "share|mean"),
    "1 - p": (Bernoulli(MANY, 0.25), lambda: _rand(*MANY) > 0.25, "share|mean"),
    "no mask": (Bernoulli(MANY, 0.5), lambda: _rand(*MANY), "share|standard"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_not_of_the_law_is_told(fault: str) -> None:
    law, draw, text = WRONG[fault]
    for seed in range(3):
        with np.errstate(divide="ignore"):
            evidence = _evidence(law, draw, seed)
        assert evidence.ratio > 1, seed
        assert re.search(text, evidence.text), evidence.text


@pytest.mark.parametrize(
    ("law", "draw"),
    [
        (Normal((1,)), lambda shape: _randn(*shape)),
        (Uniform((1,), -1, 1), lambda shape: 3**0.5 * (2 * _rand(*shape) - 1)),
        (Bernoulli((1,), 0.2), lambda shape: np.where(_rand(*shape) < 0.2, 2.0, -0.5)),
    ],
    ids=["normal", "uniform", "bernoulli"],
)
def test_allowed_sums_hold_and_are_near_the_gaussian_tail(law: Any, draw: Any) -> None:
    """T is 8.2 deviations of a normal variable: no bound is below, none twice as large."""
    np.random.seed(0)
    n = 2000
    a, b = draw((2, 1000, n))
    sums = (a.sum(1), (a * a - 1).sum(1), (a * b).sum(1))
    for found, allowed in zip(sums, law.allowed(n), strict=True):
        assert np.abs(found).max() < allowed
        assert math.sqrt(2 * laws.T) < allowed / found.std() < 2 * math.sqrt(2 * laws.T)


def _run(case: str) -> Verdict:
    return checks.run_case(Case.parse(case))


def _of(name: str, kwargs: str, dtype: str = "float32", device: str = "cpu") -> str:
    return f"{name}/distribution/{device}/{dtype}/-/{kwargs}/compact/interior/seed0"


@pytest.fixture
def plant_draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., Any]], None]:
    """plant_draw(name, function): the subject's initialiser of that name becomes the function."""
    from verify.targets import devices

    resolve = devices.resolve

    def planted(name: str, function: Callable[..., Any]) -> None:
        monkeypatch.setattr(
            "verify.targets.draws.resolve", lambda n: function if n == name else resolve(n)
        )

    return planted


def _tensor(array: Any, device: Any, dtype: str) -> Tensor:
    return Tensor(array, device=device, dtype=dtype, requires_grad=False)


def _own_seed(*shape: int, device: Any, dtype: str) -> Tensor:
    return _tensor(np.random.default_rng(0).standard_normal(shape), device, dtype)


def _unseeded(*shape: int, device: Any, dtype: str) -> Tensor:
    return _tensor(np.random.default_rng().standard_normal(shape), device, dtype)


def _transposed(*shape: int, device: Any, dtype: str) -> Tensor:
    return init.randn(*shape[::-1], device=device, dtype=dtype)


def _doubled(*shape: int, device: Any, dtype: str) -> Tensor:
    return init.randn(*shape, device=device, dtype="float64")


def _drawn_twice(*shape: int, device: Any, dtype: str) -> Tensor:
    init.randn(*shape)
    return init.randn(*shape, device=device, dtype=dtype)


_kept: list[Tensor] = []


def _leaking(*shape: int, device: Any, dtype: str) -> Tensor:
    _kept.append(init.randn(*shape, device=device, dtype=dtype))
    return _kept[-1] * 1.0


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (_own_seed, r"x\[.*\] = .*, should be"),
        (_unseeded, "the same seed, on other threads, gave other numbers"),
        (_transposed, r"x has shape \(307, 201\), should have \(201, 307\)"),
        (_doubled, "has dtype float64, should have float32"),
        (_drawn_twice, r"x\[.*\] = .*, should be"),
        (_leaking, "stay alive after the call"),
    ],
)
def test_faults_of_an_initialiser_are_told(plant_draw: Any, fault: Any, text: str) -> None:
    plant_draw("init.randn", fault)
    verdict = _run(_of("init.randn", "shape=(201,307)"))
    assert verdict.status is Status.FAIL
    assert re.search(text, verdict.message), verdict.message
    assert "needle-verify --replay" in verdict.message


class _SwappedDraws(nn.Linear):
    """Draws the bias first: each is distributed as it should be."""

    def __init__(self, in_features: int, out_features: int, **where: Any) -> None:
        super().__init__(in_features, out_features, **where)
        self.bias = nn.Parameter(init.kaiming_uniform(out_features, 1, **where).reshape((1, -1)))
        self.weight = nn.Parameter(init.kaiming_uniform(in_features, out_features, **where))


class _NoBias(nn.Linear):
    def __init__(self, in_features: int, out_features: int, **where: Any) -> None:
        super().__init__(in_features, out_features, bias=False, **where)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (_SwappedDraws, r"weight\[.*\] = .*, should be"),
        (_NoBias, "it gave 1 results, should give 2: weight, bias"),
    ],
)
def test_layers_draw_in_their_order(plant_draw: Any, layer: Any, text: str) -> None:
    plant_draw("nn.Linear", layer)
    verdict = _run(_of("nn.Linear", "in_features=20,out_features=3000"))
    assert verdict.status is Status.FAIL
    assert re.search(text, verdict.message), verdict.message


@pytest.mark.parametrize("device", ["cpu", "numpy", "cuda_sim"])
def test_needle_is_right_on_every_device(device: str) -> None:
    for name in ("init.randb", "init.kaiming_normal", "nn.Conv", "nn.LayerNorm1d", "init.zeros"):
        cases = registry.plan_cases(
            registry.rows()[name], device, "float32", "distribution", 1, "smoke"
        )
        verdicts = [checks.run_case(case) for case in cases]
        assert [v.message for v in verdicts if v.status is not Status.PASS] == []
        assert impostors(verdicts) == ()


def test_the_judge_leaves_numpys_generator_alone() -> None:
    np.random.seed(3)
    first = np.random.rand()
    np.random.seed(3)
    _run(_of("init.rand", "shape=(7,)"))
    assert np.random.rand() == first


def test_what_draws_nothing_has_no_law() -> None:
    with pytest.raises(UsageError, match="draws nothing"):
        _run(_of("exp", "-"))


def test_arguments_that_do_not_fit_are_a_usage_error() -> None:
    case = Case("init.randn", "distribution", "cpu", "float32", ((3, 4),))
    with pytest.raises(UsageError, match=r"arguments do not fit init\.randn"):
        checks.run_case(case)
