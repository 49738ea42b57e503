"""pytest --needle-verify: a test a case; nothing at all without the flag."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]
pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(120)
RELU = "needle-verify::relu/forward/cpu/float32/33/-/compact/interior/seed0"
SMOKE = ("--op", "relu", "--check", "forward", "--dtype", "float32", "--budget", "smoke")


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """pytest in a process of its own, with the plugin and without what else is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    pytester.makepyfile(test_mine="def test_mine(): pass")

    def start(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "verify.pytest_plugin", *arguments)

    return start


def test_every_case_is_a_test_with_its_id(run: Run) -> None:
    result = run("--needle-verify", *SMOKE, "-v")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines([f"{RELU} PASSED*"])
    result.stdout.no_fnmatch_line("*test_mine*")
    listed = run("--needle-verify", *SMOKE, "--collect-only", "-q")
    listed.stdout.fnmatch_lines([RELU, "6 tests collected*"])


def test_a_case_is_chosen_by_its_id_or_a_word_and_files_come_by_name(run: Run) -> None:
    run("--needle-verify", *SMOKE, RELU).assert_outcomes(passed=1)
    run("--needle-verify", *SMOKE, "-k", "interior").assert_outcomes(passed=4, deselected=2)
    run("--needle-verify", *SMOKE, "test_mine.py").assert_outcomes(passed=7)
    result = run("--needle-verify", *SMOKE, RELU.replace("33", "34"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*not in the plan*"])


def test_nothing_without_the_flag(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import sys\n"
        "def pytest_addoption(parser): parser.addoption('--device', '--op')\n"
        "def pytest_unconfigure():\n"
        "    assert not {'numpy', 'torch', 'needle', 'verify.plan'} & set(sys.modules)\n"
    )
    run("--device", "mine").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--op", "reul"), "did you mean relu"),
        (("--device", "tpu"), "unknown device"),
        (("--op", ""), "op=''"),
        (("--budget", "5"), "pytest runs all it collects"),
        (("--op", "relu", "--layout", "offset", "--check", "none"), "unknown check"),
        (("--data", "/no/such/folder"), "/no/such/folder"),
    ],
)
def test_usage_errors(run: Run, arguments: tuple[str, ...], words: str) -> None:
    result = run("--needle-verify", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}*"])


def test_failures_skips_and_weak_groups(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest\n"
        "from verify import checks\n"
        "from verify.spec import Status, Verdict\n"
        "def run_case(case):\n"
        "    if case.region == 'integer':\n"
        "        return Verdict(case.id, Status.FAIL, message='y = 1, should be 2')\n"
        "    if case.layout != 'compact':\n"
        "        return Verdict(case.id, Status.SKIP, message='not before May')\n"
        "    return Verdict(case.id, Status.PASS, impostors=('zeros',))\n"
        "checks.run_case = run_case\n"
    )
    result = run("--needle-verify", *SMOKE, "-rs")
    result.assert_outcomes(failed=1, skipped=1, passed=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAIL relu/*", "y = 1, should be 2", "replay: needle-*"])
    result.stdout.fnmatch_lines(["*not before May*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_weak_evidence_fails_the_session_if_the_whole_group_ran(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        "from verify import checks\n"
        "from verify.spec import Status, Verdict\n"
        "checks.run_case = lambda c: Verdict(c.id, Status.PASS, impostors=('zeros',))\n"
    )
    result = run("--needle-verify", *SMOKE)
    result.assert_outcomes(passed=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["WEAK relu/forward/cpu/float32: zeros would have passed*"])
    assert run("--needle-verify", *SMOKE, "-k", "interior").ret == pytest.ExitCode.OK


def test_known_failures_are_skips_until_they_expire_or_are_stale(
    run: Run, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(
        "from verify import checks\n"
        "from verify.spec import Status, Verdict\n"
        "def run_case(case):\n"
        "    wrong = case.region == 'integer'\n"
        "    return Verdict(case.id, Status.FAIL if wrong else Status.PASS, message='y = 1')\n"
        "checks.run_case = run_case\n"
    )
    entry = '[[skip]]\ncase = "relu/*/*/*/*/*/*/{}"\nreason = "known"\nexpires = {}-01-31\n'

    def with_skips(*entries: tuple[str, int]) -> pytest.RunResult:
        text = "".join(entry.format(region, year) for region, year in entries)
        pytester.path.joinpath("known.toml").write_text(text)
        return run("--needle-verify", *SMOKE, "--skips", "known.toml", "-rs")

    result = with_skips(("integer", 9999))
    result.assert_outcomes(skipped=1, passed=5)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*known (until 9999-01-31, known.toml:1)*"])
    result = with_skips(("integer", 2001))
    result.assert_outcomes(failed=1, passed=5)
    result.stdout.fnmatch_lines(["WEAK known.toml:1: expired on 2001-01-31: known"])
    result = with_skips(("integer", 9999), ("interior", 9999))
    result.assert_outcomes(skipped=1, passed=5)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["WEAK known.toml:5: stale, all * of its cases pass: known"])
    result = run("--needle-verify", *SMOKE, "--skips", "none.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist")
def test_over_xdist(run: Run) -> None:
    result = run("--needle-verify", *SMOKE, "-p", "xdist", "-n", "2")
    result.assert_outcomes(passed=6)


def test_the_plugin_is_an_entry_point() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"needle-verify": "verify.pytest_plugin"}


def test_what_the_skipped_tests_need_comes_with_the_test_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {re.split(r"[<>=]", wanted)[0] for wanted in extras["test"]}
    assert names >= {"pytest-xdist", "needle[dask]", "hypothesis", "junitparser"}
    assert extras["dask"][0].startswith("distributed")
