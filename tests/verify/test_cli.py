"""The command line from outside: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from verify.cli import main
from verify.plan import DEVICES
from verify.results import read
from verify.selecting import SWITCHES
from verify.spec import JUDGES, Status

pytestmark = pytest.mark.timeout(120)
Start = Callable[..., subprocess.Popen[str]]
ALL = 5 * len(JUDGES) * 2  # cases of an op of fake_parts on the cpu: what it computes in
SCRIPT = str(Path(__file__).with_name("fake_parts.py"))


@pytest.fixture
def verify(
    fake: ModuleType, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs needle-verify over the fake ops: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments, fake.parts())
        return code, *capsys.readouterr()

    return run


Verify = Callable[..., tuple[int, str, str]]


def test_nothing_heavy_is_imported_before_the_workers(start: Start) -> None:
    program = (
        "import sys, verify.cli\n"
        "try: verify.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert verify.cli.main(['--list', '--op', 'conv']) == 0\n"
        "print({'torch', 'needle', 'hypothesis'} & set(sys.modules), file=sys.stderr)"
    )
    process = start("-c", program)
    out, err = process.communicate()
    assert err.splitlines()[-1] == "set()"
    assert "--replay" in out


def test_a_good_run(verify: Verify) -> None:
    code, out, err = verify("--op", "good")
    assert code == 0
    assert f"{ALL} PASS = {ALL} cases" in out
    assert "all good (exit 0)" in out
    assert "\x1b" not in out, "no colours in a pipe"
    assert err == "", "no progress in a pipe"
    rows = [line for line in out.splitlines() if line.startswith("good")]
    assert [row.split()[:6] for row in rows] == [
        ["good", "cpu", "f32", str(ALL // 2), "PASS", "0.25"],
        ["good", "cpu", "f64", str(ALL // 2), "PASS", "0.25"],
    ]


def test_the_table_fits_80_columns(verify: Verify) -> None:
    _, out, _ = verify("--device", "cpu,cuda_sim", "--op", "goodness,wrong", "--check", "vjp")
    table = out.split("\n\n")[1]
    assert "wrong" in table
    assert max(map(len, table.splitlines())) <= 80


def test_a_wrong_op_is_exit_1_with_its_text_and_replay_line(verify: Verify) -> None:
    code, out, _ = verify("--op", "good", "--op", "wrong", "--dtype", "float32", "--check", "fd")
    assert code == 1
    assert "dx[0] = 1.3120, should be 1.3447" in out
    assert "needle-verify --replay wrong/fd/cpu/float32/1/-/compact/interior/seed0" in out
    assert "5 PASS + 5 FAIL = 10 cases" in out


def test_a_crash_is_exit_1_and_the_others_go_on(verify: Verify) -> None:
    code, out, _ = verify("--op", "goo*", "--op", "segfault", "--check", "fd", "--dtype", "float32")
    assert code == 1
    assert "10 PASS + 5 CRASH = 15 cases" in out
    assert "needle-verify --replay segfault/fd/cpu/float32/1/" in out


def test_weak_groups_and_missing_ops_are_exit_3(verify: Verify) -> None:
    code, out, _ = verify("--op", "weak", "--check", "fd", "--dtype", "float32")
    assert code == 3
    assert "WEAK weak/fd/cpu/float32: zeros would have passed all cases" in out
    assert "5 WEAK = 5 cases" in out
    code, out, _ = verify("--op", "missing", "--check", "fd", "--dtype", "float32")
    assert code == 3
    assert "5 UNIMPLEMENTED" in out


def test_list_prints_ids_and_runs_nothing(verify: Verify) -> None:
    code, out, _ = verify("--list", "--op", "calm", "--device", "cuda", "--check", "fd")
    ids = out.splitlines()
    assert code == 0
    assert len(ids) == 30
    assert ids[0] == "good/fd/cuda/float32/1/-/compact/interior/seed0"
    assert verify("--list", "--op", "good", "--seed", "7")[1].count("/seed7") == ALL
    _, strided, _ = verify("--list", "--op", "good", "--layout", "strided")
    assert strided.count("/strided/") == ALL * 2 // 5


def test_an_empty_selection_is_exit_3(verify: Verify) -> None:
    code, out, err = verify("--op", "good", "--layout", "offset")
    assert (code, out) == (3, "")
    assert "nothing is selected" in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--op", "god"), "did you mean good"),
        (("--op", "GOOD"), "did you mean good"),
        (("--op", "zzzz"), "known: good"),
        (("--device", "gpu"), "known: cpu, numpy, cuda_sim, cuda"),
        (("--device", "cuda_sym"), "did you mean cuda_sim"),
        (("--dtype", "float61"), "did you mean float"),
        (("--check", "foward"), "did you mean forward"),
        (("--layout", "transpose"), "did you mean transposed"),
        (("--divice", "cpu"), "did you mean --device"),
        (("--jobs", "0"), "jobs=0"),
        (("--jobs", "many"), "many"),
        (("--timeout", "-1"), "timeout=-1"),
        (("--data", "/no/such/folder"), "/no/such/folder"),
        (("--op", ""), "op=''"),
        (("--device", ","), "device=','"),
        (("--json", ""), "json=''"),
        (("--layer", "Goo"), "did you mean Good or --op good"),
        (("--layer", "good"), "did you mean Good"),
        (("--model", "ResNet9"), "known: none"),
        (("--op", "Goodd"), "did you mean good or nn.Good"),
        (("--budget", "0"), "budget='0'"),
        (("--budget", "quick"), "smoke, default, deep or a positive number"),
        (("--budget", "inf"), "budget='inf'"),
        (("--replay", "malformed/fd/cpu/float32/1/-/compact/interior/seed0"), "do not fit"),
        (("--replay", "good/forward"), "9 parts"),
        (("--replay", "god/fd/cpu/float32/1/-/compact/interior/seed0"), "did you mean good"),
        (("--replay", "good/fd/cpu/float32/1/-/compact/interior/7"), "seedN"),
        (("--resume", "/no/such/file"), "/no/such/file"),
        (("--json", "/no/such/folder/file"), "/no/such/folder/file"),
        (("good",), "did you mean --op good?"),
    ],
)
def test_usage_errors_are_exit_2_with_a_hint(
    verify: Verify, arguments: tuple[str, ...], hint: str
) -> None:
    code, out, err = verify(*arguments)
    assert code == 2
    assert hint in err
    assert "Traceback" not in err
    assert "PASS" not in out


@pytest.mark.parametrize(
    ("arguments", "other"),
    [(("--resume", "r.jsonl", "--html", "r.jsonl"), "resume"),
     (("--json", "new.jsonl", "--markdown", "./new.jsonl"), "json"),
     (("--junit", "x", "--sarif", "x"), "junit"),
     (("--skips", "r.jsonl", "--html", "r.jsonl"), "skips")],
)  # fmt: skip
def test_no_report_is_written_over_another_file_of_the_run(
    verify: Verify,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    other: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.jsonl").write_text("kept")
    code, out, err = verify("--op", "good", *arguments)
    assert (code, out) == (2, "")
    assert f"a file of its own, got that of {other}: " in err
    assert (tmp_path / "r.jsonl").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


def test_an_absent_device_is_exit_2_and_says_what_to_do(verify: Verify) -> None:
    code, out, err = verify("--device", "cpu,cuda", "--op", "good")
    assert (code, out) == (2, "")
    assert "no GPU was found: install one" in err


def test_all_devices_are_those_that_work_and_the_others_are_named(verify: Verify) -> None:
    code, out, err = verify("--device", "all", "--op", "good", "--check", "fd")
    assert code == 0
    assert "on cpu, numpy, cuda_sim;" in out
    assert "device cuda left out: no GPU was found" in err


@pytest.mark.parametrize(
    ("devices", "words"), [("all,foo", "device='foo'"), ("all,cuda", "no GPU was found")]
)
def test_names_beside_all_must_exist_and_work(verify: Verify, devices: str, words: str) -> None:
    code, out, err = verify("--device", devices, "--op", "good", "--check", "fd")
    assert (code, out) == (2, "")
    assert words in err


def test_devices_are_those_of_the_targets() -> None:
    targets = pytest.importorskip("verify.targets")
    assert set(DEVICES) == set(targets.DEVICES)


def test_replay_runs_the_case_that_the_id_names(verify: Verify) -> None:
    case_id = "good/vjp/numpy/float64/3/-/compact/interior/seed4"
    code, out, _ = verify("--replay", case_id)
    assert code == 0
    assert out.startswith(f"PASS {case_id}\n")
    assert "isa native" in out
    code, out, _ = verify("--replay", case_id.replace("good", "segfault"))
    assert code == 1
    assert "SIGSEGV" in out


def test_replay_of_a_file_restores_the_environment(verify: Verify, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    arguments = ("--op", "calm,wrong", "--check", "fd", "--dtype", "float32")
    verify(*arguments, "--json", str(results))
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    saved = next(line for line in lines if line.get("status") == "FAIL")
    saved["environment"] = {"isa": "ancient", "threads": "3"}
    failure = tmp_path / "failure.json"
    failure.write_text(json.dumps(saved) + "\n")
    code, out, _ = verify("--replay", str(failure))
    assert code == 1
    assert out.count("FAIL ") == 1
    assert "isa ancient" in out
    assert "threads 3" in out
    assert verify("--replay", str(results))[1].count("FAIL wrong/") == 5


def test_json_keeps_every_verdict(verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    verify("--op", "good", "--json", str(path))
    results = read(path)
    assert len(results.verdicts) == ALL
    assert {v.environment["threads"] for v in results.verdicts} == {"1"}
    assert "--op" in results.header["command"]


def test_resume_refuses_another_plan(verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    verify("--op", "good", "--json", str(path))
    code, _, err = verify("--op", "goodness", "--resume", str(path))
    assert code == 2
    assert "another plan" in err


@pytest.mark.parametrize("file_given", [True, False])
def test_an_interrupt_keeps_results_and_resume_completes(
    start: Start, tmp_path: Path, file_given: bool
) -> None:
    path = tmp_path / "results.jsonl"
    arguments = [SCRIPT, "--op", "calm", "--jobs", "1", "--check", "forward", "-v"]
    arguments += ["--json", str(path)] if file_given else []
    process = start(*arguments, TMPDIR=str(tmp_path), FAKE_CASES="8")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("PASS  slow"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers too
    out, err = process.communicate()
    assert process.returncode == 3, err
    assert "not run = 48 cases" in out
    kept = path if file_given else next(tmp_path.glob("needle-verify-*.jsonl"))
    assert f"needle-verify --resume {kept}" in err
    assert "Traceback" not in err
    before = read(kept)
    assert 0 < len(before.verdicts) < 48

    process = start(SCRIPT, "--resume", str(kept), FAKE_CASES="8")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "48 PASS = 48 cases" in out
    after = read(kept)
    assert len({v.id for v in after.verdicts}) == len(after.verdicts) == 48
    assert after.verdicts[: len(before.verdicts)] == before.verdicts


def test_a_second_interrupt_ends_at_once(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    process = start(
        SCRIPT, "--op", "good,hang", "--jobs", "1", "--check", "fd", "-v", "--json", str(path)
    )
    assert process.stdout is not None
    for _ in range(11):
        process.stdout.readline()  # the heading, then the good ones
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers too
    time.sleep(0.5)  # the hanging case holds the run
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers too
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    assert {v.status for v in read(path).verdicts} == {Status.PASS}
    assert len(read(path).verdicts) == 10


def test_a_reader_that_goes_away_does_not_change_the_exit_code(start: Start) -> None:
    process = start(SCRIPT, "--op", "good,wrong", "-v")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait() == 1
    assert err == ""


def test_no_results_are_left_behind_by_a_whole_run(start: Start, tmp_path: Path) -> None:
    process = start(SCRIPT, "--op", "good", TMPDIR=str(tmp_path))
    process.communicate()
    assert process.returncode == 0
    assert os.listdir(tmp_path) == []


def test_a_real_op_end_to_end_and_its_replay_on_another_instruction_set(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    run = ("-m", "verify", "--op", "add", "--check", "forward", "--dtype", "float32")
    process = start(*run, "--device", "cpu,numpy", "--json", str(path))
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    verdict = read(path).verdicts[0]
    assert verdict.environment["threads"] == "1"
    saved = verdict.to_json() | {"status": "FAIL", "environment": {"isa": "x86-64-v2"}}
    failure = tmp_path / "failure.json"
    failure.write_text(json.dumps(saved))
    process = start("-m", "verify", "--replay", str(failure))
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert verdict.id in out
    if verdict.environment["isa"].startswith("x86-64"):
        assert "isa x86-64-v2" in out


def test_a_target_that_cannot_start_is_exit_2(start: Start) -> None:
    process = start("-m", "verify", "--op", "add", NEEDLE_ISA="z80")
    out, err = process.communicate()
    assert process.returncode == 2
    assert "NEEDLE_ISA must be one of" in err
    assert "Traceback" not in err
    assert out == ""


def test_a_layer_is_named_without_its_prefix(verify: Verify) -> None:
    for arguments in (("--layer", "Good"), ("--layer", "nn.G*"), ("--layer", "*")):
        ids = verify("--list", *arguments)[1].splitlines()
        assert {case_id.split("/")[0] for case_id in ids} == {"nn.Good"}, arguments
    ids = verify("--list", "--layer", "Good", "--op", "weak")[1].splitlines()
    assert {case_id.split("/")[0] for case_id in ids} == {"nn.Good", "weak"}


@pytest.mark.parametrize("variable", ["abc", "-1", "99999999999999999999"])
def test_a_malformed_simulator_seed_is_told_before_anything_runs(
    verify: Verify, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("NEEDLE_SIM_SEED", variable)
    code, out, err = verify("--op", "good")
    assert (code, out) == (2, "")
    assert variable in err


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_that_is_neither_on_nor_off_is_told_before_anything_runs(
    verify: Verify, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "yes")
    code, out, err = verify("--op", "good")
    assert (code, out) == (2, "")
    assert f"a switch is 0 or 1, got {name}='yes'" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--list"], 2), (["--help"], 0), (["--op", "good"], 2), (["--op", "wrong"], 1)],
)
def test_a_full_disk_is_no_traceback(start: Start, arguments: list[str], code: int) -> None:
    shell = "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); import fake_parts as f;"
    process = start("-c", shell + f"sys.exit(f.main({arguments}, f.parts()))")
    _, err = process.communicate()
    assert process.returncode == code
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert "No space left" in err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_results_on_a_full_disk_are_a_usage_error(verify: Verify) -> None:
    code, _, err = verify("--op", "good", "--json", "/dev/full")
    assert code == 2
    assert "No space left" in err


def test_sigterm_ends_at_once_charges_nobody_and_can_be_resumed(
    start: Start, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    process = start(SCRIPT, "--op", "slow", "-v", "--json", str(path), FAKE_CASES="20")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("PASS  slow"):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)  # as a supervisor does: the workers too
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    assert "--resume" in err
    results = read(path)
    assert {v.status for v in results.verdicts} == {Status.PASS}
    assert len(results.verdicts) < 20 * len(JUDGES) * 2
    for verdict in results.verdicts:
        assert not Path(f"/proc/{verdict.environment['pid']}").exists()


# --- budgets


def test_budgets_hold_those_below_them_and_are_recorded(verify: Verify, tmp_path: Path) -> None:
    listed = {}
    for budget in ("smoke", "default", "deep", "3"):
        code, out, err = verify("--list", "--op", "good,weak", "--budget", budget)
        assert code == 0
        listed[budget] = out.splitlines()
        assert ("fit into 3 s" if budget == "3" else f"budget {budget}") in err
    assert set(listed["smoke"]) < set(listed["default"]) < set(listed["deep"])
    assert listed["3"] == listed["deep"], "one order: a run of 3 s can go on as a deep one"
    groups = 2 * len(JUDGES) * 2
    assert len({tuple(i.split("/")[:4]) for i in listed["deep"][:groups]}) == groups
    path = tmp_path / "results.jsonl"
    code, out, _ = verify("--op", "good", "--budget", "smoke", "--json", str(path))
    assert code == 0
    assert f"{groups} PASS = {groups} cases" in out, "two of each of the groups of one op"
    assert read(path).selection.budget == "smoke"
    assert verify("--resume", str(path))[0] == 0
    assert verify("--resume", str(path), "--budget", "deep")[0] == 2, "another plan"


def test_a_run_of_some_seconds_says_what_it_left_and_goes_on_later(
    verify: Verify, tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    arguments = ("--op", "slow", "--check", "fd", "--dtype", "float32", "--jobs", "1")
    code, out, err = verify(*arguments, "--budget", "0.4", "--json", str(path))
    assert code == 0, "time-boxed is what was asked for"
    assert "not run (time is up) = 8 cases" in out
    assert "all that ran is good (exit 0)" in out
    assert f"--resume {path}" in err
    before = len(read(path).verdicts)
    assert 0 < before < 8
    code, out, _ = verify("--resume", str(path), "--budget", "deep")
    assert code == 0
    assert "8 PASS = 8 cases" in out
    assert len(read(path).verdicts) == 8


def test_a_group_that_time_did_not_reach_is_no_silent_pass(verify: Verify) -> None:
    code, out, _ = verify("--op", "slow", "--jobs", "1", "--budget", "0.01")
    assert code == 3
    assert "groups, which have no case: slow/" in out


def test_a_smoke_run_of_everything_is_good_and_no_group_is_weak(start: Start) -> None:
    process = start("-m", "verify", "--budget", "smoke")
    out, err = process.communicate()
    assert process.returncode == 0, out + err
