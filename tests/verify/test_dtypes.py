"""Which dtypes a run asks of which device: all that it computes in, or those named."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import fake_parts as fake
import pytest

from verify import registry, targets
from verify.cli import main
from verify.plan import Selection, make_plan
from verify.registry.planning import why_none
from verify.results import read
from verify.selecting import select
from verify.setup import Parts
from verify.spec import COMPUTED, DTYPES, UsageError
from verify.table import announce

BESIDE = {"cpu": COMPUTED, "numpy": COMPUTED, "cuda_sim": DTYPES, "cuda": None}
OPTIONS = ("op", "layer", "model", "optimizer", "device", "dtype", "check", "layout")


def _selected(devices: str, dtypes: str = "", earlier: Selection | None = None) -> Selection:
    options = SimpleNamespace(**dict.fromkeys((*OPTIONS, "seed", "budget")))
    options.device = [devices] if devices else None
    options.dtype = [dtypes] if dtypes else None
    found: Selection = select(options, registry, lambda _: True, earlier, BESIDE.__getitem__)  # type: ignore[arg-type]
    return found


def _groups(selection: Selection) -> set[tuple[str, str]]:
    plan = make_plan(selection, fake.Registry())
    return {(case.device, case.dtype) for case in plan.cases}


@pytest.mark.parametrize(
    ("devices", "dtypes", "without"),
    [
        ("cpu", COMPUTED, ()),
        ("cuda_sim", DTYPES, ()),
        ("cuda", COMPUTED, ()),  # absent here: what it computes in is not known
        ("cpu,cuda_sim", DTYPES, ("cpu/float16", "cpu/bfloat16")),
    ],
)
def test_by_default_each_device_is_asked_in_all_that_it_computes_in(
    devices: str, dtypes: tuple[str, ...], without: tuple[str, ...]
) -> None:
    selection = _selected(devices)
    assert (selection.dtypes, selection.without) == (dtypes, without)
    for device in selection.devices:
        asked = {dtype for of, dtype in _groups(selection) if of == device}
        assert asked == set(BESIDE[device] or COMPUTED)


def test_a_dtype_that_no_device_computes_in_is_a_usage_error() -> None:
    with pytest.raises(
        UsageError, match=r"\[dtype\] cpu does not compute in it, got dtype=float16"
    ):
        _selected("cpu", "float16")


def test_one_that_some_devices_compute_in_is_left_out_elsewhere_and_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    selection = _selected("cpu,cuda_sim", "float32,bfloat16")
    assert _groups(selection) == {
        ("cpu", "float32"), ("cuda_sim", "float32"), ("cuda_sim", "bfloat16"),
    }  # fmt: skip
    assert "dtype bfloat16 left out on cpu" in capsys.readouterr().err


def test_an_unknown_dtype_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"unknown dtype, got dtype='float8'.*bfloat16"):
        make_plan(_selected("cpu", "float8"), fake.Registry())


def test_a_resumed_run_keeps_what_it_was_started_with() -> None:
    before = _selected("cpu,cuda_sim")
    again = Selection.from_json(before.to_json())
    assert _selected("", earlier=again) == before
    assert make_plan(again, fake.Registry()).hash == make_plan(before, fake.Registry()).hash


def test_the_plan_says_where_each_dtype_is_asked() -> None:
    text = announce(make_plan(_selected("cpu,cuda_sim"), fake.Registry()))
    assert "float32, float64; float16, bfloat16 on cuda_sim" in text
    assert "fd, second, trajectory in float64 alone" in text


@pytest.mark.parametrize("judge", ["fd", "second"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_differences_of_sixteen_bits_are_no_evidence_and_not_planned(
    dtype: str, judge: str
) -> None:
    row = registry.rows()["exp"]
    assert not registry.plan_cases(row, "cuda_sim", dtype, judge, 0, "deep")
    assert why_none(row, dtype, judge) == "differences need float64"


def _run(*arguments: str) -> int:
    def computed(device: str) -> Sequence[str] | None:
        return BESIDE[device]

    parts = Parts("fake_parts:run_case", fake.Registry(), fake.device_status, computed)
    return main(["--op", "good", *arguments], parts)


def test_the_command_line_answers_2_where_nothing_computes_the_dtype(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("--dtype", "float16", "--list") == 2
    assert "cpu does not compute in it" in capsys.readouterr().err
    assert _run("--replay", "good/forward/cpu/float16/1/-/compact/interior/seed0") == 2
    assert "cpu computes in float32, float64" in capsys.readouterr().err


def test_results_and_reports_hold_them(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    files = [f"--{kind}=r.{kind}" for kind in ("html", "junit", "markdown", "sarif", "json")]
    assert _run("--device", "cuda_sim", "--dtype", "float16,bfloat16", *files) == 0
    printed = capsys.readouterr().out
    assert "f16" in printed
    assert "bf16" in printed
    for kind in ("html", "junit", "markdown"):
        with open(f"r.{kind}") as file:
            assert "bfloat16" in (text := file.read()) or "bf16" in text
    from pathlib import Path

    assert read(Path("r.json")).selection.dtypes == ("float16", "bfloat16")


def test_the_devices_say_what_they_compute_in() -> None:
    assert targets.computed_dtypes("cpu") == COMPUTED
    assert targets.computed_dtypes("numpy") == COMPUTED
    if targets.device_status("cuda_sim") is None:
        assert targets.computed_dtypes("cuda_sim") == DTYPES
