"""How many roundings a term of the cpu's sums meets, against what the bounds assume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import needle as ndl
from verify import accuracy, budget, reference, registry
from verify.judges import Question, examine
from verify.registry.planning import sample
from verify.spec import Case, Status

U = 2.0**-24
# shape and reduced axes: runs, rows of results, several axes, cut into parts
SUMS = [
    ((7,), (0,)),
    ((40,), (0,)),
    ((300,), (0,)),
    ((1023,), (0,)),
    ((5000,), (0,)),
    ((100000,), (0,)),
    ((1000, 3), (0,)),
    ((700, 130), (0,)),
    ((3, 900), (1,)),
    ((40, 3, 50), (0, 2)),
    ((5, 1000, 7), (0, 1)),
    ((33, 130), (0, 1)),
    ((2, 3, 700, 5), (2,)),
]


def adversarial(shape: tuple[int, ...], big: int) -> np.ndarray:
    """One among numbers of almost half its ULP: each rounding beside it loses up to U."""
    a = np.full(shape, 0.99 * U, np.float32)
    a.flat[big] = 1.0
    return a


def roundings(got: float, a: np.ndarray) -> float:
    """The error in units of U sum |a|: at most the roundings, about."""
    true = 1.0 + (a.size - 1) * float(np.float32(0.99 * U))
    return abs(got - true) / true / U


@pytest.mark.parametrize(("shape", "axes"), SUMS)
@pytest.mark.parametrize("layout", ["compact", "transposed", "strided"])
def test_no_term_meets_more_roundings(
    shape: tuple[int, ...], axes: tuple[int, ...], layout: str
) -> None:
    results = int(np.prod([n for d, n in enumerate(shape) if d not in axes]))
    allowed = accuracy.ROUNDINGS_OF_SUM["cpu"](int(np.prod(shape)) // results)
    for big in np.random.default_rng(0).integers(np.prod(shape), size=4):
        a = adversarial(shape, int(big))
        x = laid(a, layout)
        assert np.array_equal(x.numpy(), a)
        at = np.unravel_index(big, shape)
        lane = a[tuple(slice(None) if d in axes else i for d, i in enumerate(at))]
        got = ndl.summation(x, axes).numpy()[tuple(i for d, i in enumerate(at) if d not in axes)]
        assert roundings(float(got), lane) <= allowed


def laid(a: np.ndarray, layout: str) -> ndl.Tensor:
    if layout == "transposed":
        return ndl.permute(tensor(np.ascontiguousarray(a.T)), tuple(reversed(range(a.ndim))))
    if layout == "strided":
        return tensor(np.repeat(a, 3, axis=-1))[..., ::3]
    return tensor(a)


def tensor(a: np.ndarray) -> ndl.Tensor:
    return ndl.Tensor(a, device=ndl.cpu(), dtype="float32")


def test_a_sequential_sum_meets_more() -> None:
    a = adversarial((5000,), 0)
    got = float(np.add.accumulate(a)[-1])
    assert roundings(got, a) > 10 * accuracy.ROUNDINGS_OF_SUM["cpu"](5000)


def test_few_terms_meet_each_other_at_most() -> None:
    for terms in range(34):
        assert accuracy.ROUNDINGS_OF_SUM["cpu"](terms) == max(terms - 1, 0)


def test_the_cpus_own_sum_has_less_room_than_any_order() -> None:
    row = registry.rows()["summation"]
    case = Case("summation", "forward", "cpu", "float32", ((5000,),))
    [near] = Question(case, row).expected()
    [far] = Question(replace(case, device="numpy"), row).expected()
    assert near.error < far.error / 2
    assert examine(case, row).status is Status.PASS


def test_a_users_sum_may_go_in_any_order() -> None:
    a = np.abs(np.random.default_rng(0).standard_normal(5000))
    row = replace(
        registry.rows()["summation"], name="user.sum", samples=[sample((5000,))], given=[a]
    )
    own, users = (
        Question(Case(row.name, "forward", "cpu", "float32", ((5000,),)), r)
        for r in (row, replace(row, target=lambda *_: None))
    )
    assert own.fmt.roundings(5000) < users.fmt.roundings(5000) == 4999


def test_the_oracle_may_sum_in_any_order() -> None:
    fmt = budget.with_oracle(budget.format_of("float64", "cpu", own_kernels=True))
    mine = accuracy.ROUNDINGS_OF_SUM["cpu"](1000)
    # compare doubles what is charged in float64
    assert 2 * fmt.roundings(1000) == mine + 999
    assert reference.CORRECTLY_ROUNDED  # torch's sum is none of these
