"""Calibration: errors in ULP against exact arithmetic, planted faults, coverage, the command."""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from verify import reference, registry
from verify.budget import format_of
from verify.calibration import arguments, exact, measure, parts
from verify.calibration.errors import Measured, errors
from verify.cli import main
from verify.plan import Plan, Selection
from verify.results import Writer, provenance
from verify.setup import Parts
from verify.spec import Case, Status

F32, F64 = format_of("float32"), format_of("float64")
HERE = Path(__file__).parent


# --- errors in ULP


def exactly(fmt: Any, got: float, exact_value: Fraction, want: float) -> Fraction:
    """|got - exact| in units of the spacing at |want|, without rounding."""
    size = abs(Fraction(want))
    exponent = fmt.emin
    while Fraction(2) ** (exponent + 1) <= size:
        exponent += 1
    return abs(Fraction(got) - exact_value) / Fraction(2) ** (exponent - fmt.p + 1)


# around binade borders, the smallest numbers, the denormal range and its end
BORDERS = [math.ldexp(1.0 + d, e) for e in (-149, -148, -127, -126, -125, -1, 0, 1, 127)
           for d in (-(2.0**-25), -(2.0**-40), 0.0, 2.0**-30, 2.0**-24, 0.3)]  # fmt: skip


@pytest.mark.parametrize("steps", [-3, -1, 0, 1, 2])
def test_errors_of_float32_are_exact(steps: int) -> None:
    want = np.array([s * b for b in BORDERS for s in (1, -1) if b < 3e38])
    got = want.astype(np.float32)
    for _ in range(abs(steps)):
        got = np.nextafter(got, np.float32(math.copysign(np.inf, steps)))
    found = errors(F32, got, want)
    for g, w, e in zip(got, want, found, strict=True):
        if np.isfinite(g):
            assert e == pytest.approx(float(exactly(F32, float(g), Fraction(w), w)), rel=1e-12)


def test_errors_of_float64_take_what_the_exact_value_has_beyond_it() -> None:
    rng = np.random.default_rng(0)
    want = np.concatenate([rng.normal(size=50), [2.0**k for k in (-1074, -1060, -1022, -1, 0, 5)]])
    low = want * rng.uniform(-(2.0**-54), 2.0**-54, want.size)
    got = np.nextafter(want, np.inf)
    for g, w, l_, e in zip(got, want, low, errors(F64, got, want, low), strict=True):
        assert e == pytest.approx(float(exactly(F64, g, Fraction(w) + Fraction(l_), w)), rel=1e-9)


@pytest.mark.parametrize(
    ("got", "want", "error"),
    [
        (math.inf, 2.0**128, 0.0),
        (math.inf, math.inf, 0.0),
        (math.inf, 2.0**128 - 2.0**104, 1.0),  # the largest number, rounded up
        (math.inf, 2.0**128 - 2.0**103, 0.5),
        (-math.inf, 2.0**128, math.inf),
        (math.inf, 1.0, 2.0**24 * (2.0**127 - 2.0**-1) / 2.0**127),
        (math.nan, math.nan, 0.0),
        (math.nan, 1.0, math.inf),
        (1.0, math.nan, math.inf),
        (3.0e38, math.inf, math.inf),
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, math.inf),
        (0.0, -0.0, math.inf),
        (0.0, 2.0**-149, 1.0),
    ],
)
def test_errors_of_special_results(got: float, want: float, error: float) -> None:
    with np.errstate(over="ignore"):
        found = errors(F32, np.array([got, 1.0], np.float32), np.array([want, 1.0]))
    if got == math.inf and want == 1.0:
        assert found[0] > 2.0**22, "as far away as the format reaches"
    else:
        assert found[0] == error
    assert found[1] == 0.0


def test_what_is_kept_is_the_same_whole_or_in_parts() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2**32, 4096, np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        want = x.astype(np.float64) * (1 + rng.uniform(-1, 1, x.size) * 2.0**-22)
    whole, merged = Measured(), Measured()
    e = errors(F32, x, want)
    whole.add(F32, x, x, want, e)
    for i in range(0, x.size, 100):
        some = Measured()
        k = slice(i, i + 100)
        some.add(F32, x[k], x[k], want[k], e[k])
        merged.merge(Measured.from_terms(json.loads(json.dumps(some.to_terms()))))
    a, b = whole.to_terms(), merged.to_terms()
    assert a.keys() == b.keys()
    assert all(a[k] == pytest.approx(b[k], nan_ok=True) for k in a)
    assert whole.count == x.size
    usual = np.isfinite(want) & (np.abs(want) >= 2.0**-126) & (np.abs(want) < 2.0**128)
    for q in (0.5, 0.99, 0.999):
        assert whole.quantile(q) == pytest.approx(np.quantile(e[usual], q), abs=2 / 64)
    assert whole.small.most == e[np.abs(want) < 2.0**-126].max()


# --- what is measured


def test_the_parts_are_every_pattern_once() -> None:
    cases = parts.plan(
        Selection(ops=("exp",), dtypes=("float32",)), registry.rows(), parts.Extent()
    )
    end = 0
    for case in cases:
        if case.region == "patterns":
            _, place = parts.split(case)
            assert place == {"first": end, "step": 1}
            end += math.prod(case.shapes[0])
    assert end == 2**32


def test_patterns_are_their_bits() -> None:
    blocks = list(arguments.patterns(first=5, count=2**16 + 3, step=97))
    bits = np.concatenate([b.view(np.uint32) for b in blocks])
    assert np.array_equal(bits, 5 + 97 * np.arange(2**16 + 3))
    (last,) = arguments.patterns(first=2**32 - 4, count=4, step=1)
    assert last.view(np.uint32)[-1] == 2**32 - 1


@pytest.mark.parametrize("n", [1, 1000, 2**20, 2**22, 2**31, 2**32 - 1])
def test_a_sample_varies_every_bit(n: int) -> None:
    step = arguments.step_for(n)
    assert step % 2 == 1
    assert 0.6 * n <= -(-(2**32) // step) <= n + 1


def test_the_ops_are_those_of_the_registry() -> None:
    known = parts.calibrated(registry.rows())
    assert {"exp", "erfc", "sigmoid", "relu", "sqrt", "sign"} <= known.keys()
    assert not {"add", "clip", "leaky_relu", "mul_scalar", "softmax", "power"} & known.keys()
    assert [dict(f) for f in known["gelu"]] == [{"approximate": "none"}, {"approximate": "tanh"}]
    assert known.keys() == exact.FUNCTIONS.keys()


@pytest.mark.parametrize("op", sorted(exact.FUNCTIONS))
def test_the_oracle_is_the_exact_value_to_float32(op: str) -> None:
    row = registry.rows()[op]
    rng = np.random.default_rng(2)
    x = rng.integers(0, 2**32, 300, np.uint32).view(np.float32)
    x = np.concatenate([x, rng.normal(size=100).astype(np.float32) * np.float32(8)])
    x = x[np.isfinite(x) & (x != 0)]
    for form in parts.forms(row):
        high, low = exact.values(op, x, dict(form))
        e = errors(F32, reference.unary(row, dict(form))(x), high, low)
        assert e[~np.isnan(high)].max() < 2.0**-20
        assert not np.isinf(e).any()


@pytest.mark.parametrize("form", ["none", "tanh"])
def test_torchs_own_gelu_is_measured_relative_to_its_argument(form: str) -> None:
    """Not the row's formula, and not in ULP of results that cancel; infinities are not asked."""

    def found(first: int, device: str) -> Any:
        place = (("first", first), ("step", 1))
        how = (("approximate", form), *place)
        return measure.run_case(
            Case("gelu", "ulp", device, "float32", ((4096,),), how, region="patterns")
        )

    tail = found(0xC0700000, "torch")  # -3.75 and below
    assert tail.status is Status.PASS
    assert 0.1 < tail.ulp < 7
    assert found(0x7F800000, "torch").checked == 0
    assert found(0x7F800000, "cpu").checked == 4096


# --- planted faults


def part(op: str, first: int, count: int = 4096, **more: Any) -> Case:
    place = (("first", first), ("step", 1))
    return Case(op, "ulp", "cpu", "float32", ((count,),), place, region="patterns", **more)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(HERE)  # spawned workers get this sys.path too
    return importlib.import_module("fake_calibration")


@pytest.mark.parametrize("op", ["exp", "sin", "log", "erf", "relu", "sqrt"])
def test_one_pattern_of_thousands_is_found(
    fake: ModuleType, monkeypatch: pytest.MonkeyPatch, op: str
) -> None:
    assert measure.run_case(part(op, 0x3F000000)).status is Status.PASS
    monkeypatch.setattr("verify.targets.unary", fake.wrong_at(0x3F000123, 2))
    found = measure.run_case(part(op, 0x3F000000))
    assert found.status is Status.FAIL
    assert "0x3f000123" in found.message
    assert Measured.from_terms(found.budget).normal.most >= 1.5


def test_a_sign_of_zero_and_a_nan_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    special = Case("relu", "ulp", "cpu", "float32", ((22,),), region="special")
    assert measure.run_case(special).status is Status.PASS
    for wrong in (lambda x: np.maximum(x, np.float32(0)), lambda x: np.where(x > 0, x, x * 0)):
        with np.errstate(invalid="ignore"):
            monkeypatch.setattr("verify.targets.unary", lambda *_, w=wrong: w)
            found = measure.run_case(special)
        assert found.status is Status.FAIL
        assert "special value" in found.message
        assert Measured.from_terms(found.budget).wrong


# --- the command

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--dtype", "float32", "--patterns", "20000", "--jobs", "1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def calibrate(*options: str, given: Parts | None = None) -> tuple[int, str, str]:
        code = main(["calibrate", *options], given)
        return code, *capsys.readouterr()

    return calibrate


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--op", "expp"], "did you mean exp or expm1?"),
        (["--op", "add"], "unknown op, got op='add'"),
        (["--device", "cpuu"], "did you mean cpu"),
        (["--dtype", "float16"], "unknown dtype"),
        (["--isa", "v9"], "unknown isa"),
        (["--patterns", "some"], "[patterns] all, or a number"),
        (["--patterns", "0"], "[patterns] all, or a number"),
        (["--samples", "0"], "[samples] at least one"),
        (["--jobs", "0"], "[jobs] at least one"),
        (["--resume"], "[resume]"),
        (["--json", "no/such/folder/x.json"], "[json] cannot write"),
        (["--jsn", "x"], "did you mean --json"),
        (["exp"], "did you mean --op exp?"),
    ],
)
def test_usage_errors(run: Run, options: list[str], text: str) -> None:
    code, out, err = run(*options)
    assert (code, out) == (2, "")
    assert text in err


def test_an_absent_device_is_exit_2(run: Run) -> None:
    absent = Parts(device_status=lambda name: "no GPU was found")
    code, _, err = run("--device", "cuda", given=absent)
    assert code == 2
    assert "cuda cannot be used here: no GPU was found" in err


def test_help_names_the_exit_codes(run: Run) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "--help"])
    assert ended.value.code == 0


@pytest.mark.timeout(300)
def test_table_resume_and_schema(run: Run, tmp_path: Path) -> None:
    """A run that goes on from some of its parts gives what a whole one does."""
    path, text = tmp_path / "a.json", tmp_path / "a.md"
    options = ("--op", "exp,relu", *SMALL, "--json", str(path), "--markdown", str(text))
    todo = Plan(
        Selection(("exp", "relu"), ("cpu",), ("float32",), (parts.JUDGE,), ("compact",)),
        parts.plan(
            Selection(("exp", "relu"), dtypes=("float32",)),
            registry.rows(),
            parts.Extent(20000),
        ),
    )
    kept = Path(f"{path}.parts")
    with Writer(kept, provenance(todo, ["needle-verify", "calibrate"])) as writer:
        for case in todo.cases[:2]:
            verdict = measure.run_case(case)
            verdict.environment = measure.warm_up()
            writer.write(verdict)
    with kept.open("a") as file:
        file.write('{"id": "cut o')
    code, _, err = run(*options)
    assert code == 2
    assert "--resume goes on" in err
    code, _, err = run(*options[:-4], "--patterns", "300", *options[-4:], "--resume")
    assert code == 2
    assert "another plan" in err

    code, out, _ = run(*options, "--resume")
    assert code == 0, out
    assert not kept.exists()
    table = json.loads(path.read_text())
    assert table["needle_verify_accuracy"] == 1
    assert {"command", "started", "commit", "versions", "machine"} <= table.keys()
    exp, relu = table["rows"]
    assert (exp["op"], exp["device"], exp["dtype"], exp["failures"]) == (
        "exp", "cpu", "float32", [],
    )  # fmt: skip
    assert exp["complete"]
    assert exp["isa"]
    assert exp["count"] == math.prod(todo.cases[0].shapes[0]) + math.prod(todo.cases[1].shapes[0])
    normal = exp["normal"]
    assert 0.5 < exp["most"] == max(normal["most"], exp["small"]["most"]) < 1.3
    assert float(np.array(int(normal["bits"], 16), np.uint32).view(np.float32)) == normal["x"]
    assert normal["50 %"] <= normal["99 %"] <= normal["99.9 %"] <= normal["most"]
    assert relu["most"] == 0
    assert relu["rho"] is None
    assert "| exp | cpu |" in text.read_text()
    assert "exp" in out


@pytest.mark.timeout(300)
def test_a_crash_is_told(run: Run, fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CRASH_IN", "special")
    code, out, _ = run("--op", "exp", *SMALL, given=Parts("fake_calibration:run_case"))
    assert code == 1
    assert "exp/ulp/cpu/float32/22/-/compact/special/seed0: CRASH" in out
    assert "SIGSEGV" in out


@pytest.mark.timeout(300)
def test_ctrl_c_keeps_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    command = [sys.executable, "-m", "verify", "calibrate", "--op", "exp", "--jobs", "1"]
    process = subprocess.Popen(
        [*command, "--json", str(path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    kept = Path(f"{path}.parts")
    end = time.monotonic() + 200
    while not (kept.exists() and kept.read_text().count("\n") > 1) and time.monotonic() < end:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 3, err
    assert "go on with the same options and --resume" in err
    assert "\x1b" not in err
    assert not path.exists()
    assert kept.read_text().count("\n") > 1
