"""Other projects' checks, restated: what they find, what they are known to miss, false alarms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verify import registry
from verify.faults import beside, peers, report
from verify.faults.baseline import cases_of
from verify.faults.fault import Fault
from verify.faults.outcome import ALARM, FOUND, MISSED, NOT_APPLICABLE, SURVIVED, Outcome, Tried
from verify.registry.planning import sample
from verify.sampling import Array
from verify.spec import Row, Sample, Status

pytestmark = pytest.mark.timeout(120)
Change = Callable[[list[Array]], list[Array]]
GRADIENTS = {"gradcheck, fast", "gradcheck, slow", "the course's check"}


class Fake:
    """x^2 of one input, with changes of what it gives."""

    def __init__(self, forward: Change, gradient: Change) -> None:
        self.change, self.change_gradient = forward, gradient

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        return self.change([values[0] * values[0]])

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        two = values[0].dtype.type(2)
        return self.change_gradient([two * values[0] * cotangents[0]])


def right(arrays: list[Array]) -> list[Array]:
    return arrays


def square(*samples: Sample, forward: Change = right, gradient: Change = right, **more: Any) -> Row:
    return Row(
        name="square",
        family="user",
        reference=lambda torch, x: x * x,
        samples=samples or (sample((5, 8)), sample((33,))),
        target=lambda *_: Fake(forward, gradient),
        **more,
    )


def found(row: Row) -> set[str]:
    return {name for name, said in peers.judge(row).items() if said}


def scaled(factor: float) -> Change:
    return lambda arrays: [a * a.dtype.type(factor) for a in arrays]


def one_zeroed(arrays: list[Array]) -> list[Array]:
    arrays[0].flat[7] = 0
    return arrays


def raising(arrays: list[Array]) -> list[Array]:
    raise RuntimeError("no")


def test_no_alarm_on_a_right_op() -> None:
    assert found(square()) == set()


def test_each_finds_a_blatant_fault() -> None:
    assert found(square(gradient=scaled(-1.0))) == set(peers.PEERS)
    assert found(square(forward=raising)) == set(peers.PEERS)
    # wrong results with their right gradients, as far as gradients can tell
    assert found(square(forward=scaled(1.5))) == set(peers.PEERS)


def test_what_they_are_known_to_miss() -> None:
    every = set(peers.PEERS)
    # an error of 0.1 %: NMSE is its square, 1e-6; the course's norm of some 40 of them is 0.01
    assert found(square(forward=scaled(1.001), differentiable=False)) == every - GRADIENTS - {
        "allclose 1e-2"
    }
    assert "assert_close" in found(square(gradient=scaled(1.001)))
    assert "allclose 1e-2" not in found(square(gradient=scaled(1.001)))
    assert "NMSE < 1e-7" not in found(square(gradient=scaled(1.0001)))
    # one zeroed element of a gradient is hidden by the others from what adds them up
    large = found(square(sample((4096,)), gradient=one_zeroed))
    assert "gradcheck, fast" not in large
    assert {"assert_close", "allclose 1e-2"} <= large
    assert "gradcheck, slow" in found(square(sample((40,)), gradient=one_zeroed))


def test_what_does_not_apply_is_told_from_what_passes() -> None:
    said = peers.judge(square(differentiable=False))
    assert {name for name, answer in said.items() if answer is None} == GRADIENTS
    said = peers.judge(square(sample((300,))))
    assert {name for name, answer in said.items() if answer is None} == {
        "gradcheck, slow",
        "the course's check",
    }
    assert set(peers.judge(square(sample((0,)))).values()) == {None}


def test_results_without_gradient_are_left_out() -> None:
    row = registry.rows()["nn.BatchNorm1d"]
    assert row.without_gradient
    assert found(row) <= {"the course's check"}


@pytest.mark.parametrize("name", ["softmax", "cross_entropy", "matmul", "var", "nn.ReLU", "argmax"])
def test_needles_own_ops_raise_no_alarm(name: str) -> None:
    """0-d results, labels, several inputs, a layer, results of integers."""
    assert found(registry.rows()[name]) == set()


# --- with faults


PROGRAM = """
import json, sys
from verify.faults.engine import Engine, warm_up
from verify.faults.planting import Python
from verify.faults.tasks import Judge, Setup
warm_up()
found = Python().faults()
fault = next(f for f in found if f.function == "Tanh.gradient" and f.kind == "sign")
engine = Engine(Setup("smoke", sys.argv[1], "key", peers=True))
outcome = engine.do(Judge("python", fault, ("tanh",), "digest"))
assert "needle" not in sys.modules
print(json.dumps(outcome.to_json()))
"""


def test_a_fault_is_put_before_the_peers_in_its_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = Outcome.from_json(json.loads(done.stdout))
    assert outcome.state == FOUND
    assert outcome.peers == dict.fromkeys(peers.PEERS, FOUND)


def test_an_alarm_is_no_find() -> None:
    faulty = {
        "a": Status.FAIL,
        "b": Status.FAIL,
        "c": Status.PASS,
        "d": Status.SKIP,
        "e": Status.CRASH,
        "f": Status.PASS,
    }
    right = dict.fromkeys(faulty, Status.PASS) | {"b": Status.FAIL, "f": Status.TIMEOUT}
    assert beside.verdicts(faulty, right) == {
        "a": FOUND,
        "b": ALARM,
        "c": MISSED,
        "d": NOT_APPLICABLE,
        "e": FOUND,
        "f": ALARM,
    }


def test_the_table_counts_all_faults_and_those_asked() -> None:
    def outcome(state: str, on_first: bool, said: str) -> Outcome:
        case = f"{'relu' if on_first else 'clip'}/vjp/cpu/float32/3/-/compact/interior/seed0"
        case = case if state == FOUND else ""
        return Outcome("f", "d", state, "relu", case=case, peers={"check": said} if said else {})

    table = beside.beside(
        [
            outcome(FOUND, True, FOUND),
            outcome(FOUND, False, MISSED),
            outcome(SURVIVED, False, NOT_APPLICABLE),
            outcome(FOUND, True, ALARM),
            outcome(FOUND, True, ""),  # judged without the peers
        ]
    )
    counts = {name: (b.of_all.found, b.of_all.of, b.of_asked.of) for name, b in table.items()}
    assert counts == {
        "needle-verify": (3, 4, 4),
        "needle-verify, that row alone": (2, 4, 4),
        "check": (1, 4, 2),
    }
    assert table["check"].alarms == ["relu"]


def test_reports_have_the_table_where_peers_were_asked() -> None:
    fault = Fault("needle/a.py:f:sign:1", "needle/a.py", 1, "a\n", "b\n")
    case = "relu/vjp/cpu/float32/3/-/compact/interior/seed0"
    plain = Outcome(fault.id, "d", FOUND, "relu", {"vjp": Tried(1, case)}, case)
    ended = report.Ended({}, [fault], {fault.id: plain}, {}, {})
    assert "NMSE" not in report.markdown(ended) + report.terminal(ended)
    asked = replace(plain, peers={"NMSE < 1e-7": MISSED})
    ended = replace(ended, outcomes={fault.id: asked})
    line = next(x for x in report.markdown(ended).splitlines() if x.startswith("| NMSE"))
    assert "| 0 | 0 % of 1 | 0.0 to 79.3 %" in line
    assert "NMSE < 1e-7" in report.terminal(ended)
    assert report.as_json(ended)["peers"]["NMSE < 1e-7"]["of all"]["of"] == 1


def test_a_row_that_is_called_like_its_family_is_asked_alone() -> None:
    """Else a fault of einsum alone is matmul's, and the peers are asked of the wrong op."""
    for row in ("matmul", "conv", "softmax"):
        assert {case.op for case in cases_of(row, "cpu", "smoke")} == {row}
