"""pytest --needle-verify --op conv: every case is a test with an id of its own.

Inactive, and with no option but its flag, unless --needle-verify is given. Cases run in the process
of pytest (or of each pytest-xdist worker): for crash isolation use needle-verify itself.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from verify.plan import Plan
    from verify.skips import Skips
    from verify.spec import Case, Verdict

ROOT = "needle-verify"  # node ids are needle-verify::CASE
_OPTIONS = (
    ("op", "op, family or glob (all)"),
    ("layer", "the same for layers"),
    ("model", "the same for models"),
    ("optimizer", "the same for optimizers"),
    ("device", "cpu (default), numpy, cuda_sim, cuda; all: those that work here"),
    ("dtype", "float32, float64, float16, bfloat16 (all that a device computes in)"),
    ("check", "judges (all)"),
    ("layout", "memory layouts (all)"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flag alone: the other names may be those of a project's own options."""
    group = parser.getgroup("needle-verify")
    group.addoption(
        "--needle-verify",
        action="store_true",
        help="judge needle's ops, a test a case; brings options: pytest --needle-verify --help",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> None:
    """The options of needle-verify, once it is asked for."""
    if not getattr(early_config.known_args_namespace, "needle_verify", False):
        return
    group = parser.getgroup("needle-verify")
    for name, text in _OPTIONS:
        group.addoption(f"--{name}", action="append", metavar="NAMES", help=text)
    group.addoption("--seed", type=int, metavar="N", help="other random numbers (0)")
    group.addoption("--budget", metavar="B", help="smoke, default or deep")
    group.addoption(
        "--plugin", action="append", metavar="FILE", help="rows for ops of your own, in ROWS"
    )
    group.addoption("--data", metavar="DIR", help="a folder with MNIST: real inputs too")
    group.addoption("--skips", metavar="FILE", help="known failures, each with reason and expiry")


def pytest_configure(config: pytest.Config) -> None:
    """Plans the cases, once: the controller of pytest-xdist and its workers agree."""
    if not config.getoption("--needle-verify"):
        return
    from verify.spec import UsageError

    chosen = [a.removeprefix(f"{ROOT}::") for a in config.args if a.startswith(f"{ROOT}::")]
    files = [a for a in config.args if not a.startswith(f"{ROOT}::")]
    # Test files are collected too where they are named, not because testpaths names them.
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    config.args = files if named else []
    try:
        plan = _plan(config)
        skips = _skips(config)
        if strangers := set(chosen) - set(plan.ids):
            raise UsageError(f"[pytest] a case is not in the plan, got id={min(strangers)!r}")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(Cases(plan, chosen, skips), "needle-verify-cases")


def _skips(config: pytest.Config) -> Skips:
    from pathlib import Path

    from verify import registry, skips

    path = config.option.skips
    return skips.Skips() if path is None else skips.read(Path(path), registry)


def _plan(config: pytest.Config) -> Plan:
    from pathlib import Path

    from verify import registry, targets
    from verify.plan import make_plan
    from verify.sampling import DATA_VARIABLE
    from verify.selecting import select
    from verify.spec import UsageError

    options = config.option
    if options.data is not None:
        if not options.data or not Path(options.data).is_dir():
            raise UsageError(f"[data] there is no such folder, got data={options.data!r}")
        os.environ[DATA_VARIABLE] = str(Path(options.data).resolve())
    registry.use_plugins(options.plugin or ())
    selection = select(
        options,
        registry,
        lambda name: targets.device_status(name) is None,
        computed=targets.computed_dtypes,
    )
    if selection.seconds is not None:
        raise UsageError(
            f"[budget] pytest runs all it collects: smoke, default or deep, "
            f"got budget={selection.budget!r}"
        )
    plan = make_plan(selection, registry)
    for device in plan.selection.devices:
        if reason := targets.device_status(device):
            raise UsageError(f"[device] {device} cannot be used here: {reason}")
    if not plan.cases:
        raise UsageError("[pytest] nothing is selected: no case fits these options")
    return plan


class Cases:
    """Adds the cases to the session, and judges the evidence of every whole group at its end."""

    def __init__(self, plan: Plan, chosen: list[str], skips: Skips) -> None:
        self.plan = plan
        self.skips = skips
        self.chosen = set(chosen)
        self.verdicts: list[Verdict] = []
        self.weak: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Before -k and -m choose among them."""
        cases = [c for c in self.plan.cases if not self.chosen or c.id in self.chosen]
        parent = CaseCollector.from_parent(
            session, name=ROOT, nodeid=ROOT, cases=cases, skips=self.skips
        )
        items += session.genitems(parent)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A verdict came, here or from a worker of pytest-xdist."""
        from verify.results import from_line

        if line := getattr(report, "needle_verify", None):
            self.verdicts.append(from_line(line))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Groups that ran whole are judged for their evidence; a weak one is a failure.

        So is a skip that has expired or is stale.
        """
        if hasattr(session.config, "workerinput"):  # the controller does it
            return
        from collections import Counter

        from verify import registry
        from verify.spec import Case
        from verify.summary import group_of, summarize

        whole = Counter(map(group_of, self.plan.cases))
        ran = Counter(group_of(Case.parse(v.id)) for v in self.verdicts)
        summary = summarize(self.verdicts, len(self.verdicts))
        self.weak = [
            f"{'/'.join(group)}: {', '.join(names)} would have passed all cases"
            for group, names in summary.weak.items()
            if ran[group] == whole[group]
        ] + self.skips.rotten(self.plan, self.verdicts, registry)
        if self.weak and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The weak groups, and the skips that no longer hold."""
        if self.weak:
            terminalreporter.section("needle-verify: weak evidence")
            for line in self.weak:
                terminalreporter.line(f"WEAK {line}")


class CaseCollector(pytest.Collector):
    """The parent of all cases."""

    def __init__(self, *, cases: Sequence[Case], skips: Skips, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.cases, self.skips = cases, skips

    def collect(self) -> list[pytest.Item]:
        """An item each."""
        return [
            CaseItem.from_parent(self, name=case.id, case=case, skips=self.skips)
            for case in self.cases
        ]


class WrongVerdict(Exception):
    """A case that did not pass; its text is the verdict's."""


class CaseItem(pytest.Item):
    """One case."""

    def __init__(self, *, case: Case, skips: Skips, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.case, self.skips = case, skips
        self.line: dict[str, Any] | None = None

    def runtest(self) -> None:
        """Judge the case."""
        from verify import checks, registry, targets
        from verify.results import to_line
        from verify.spec import Status, with_plugins

        with targets.borrowed():
            verdict = self.skips.applied(checks.run_case(self.case))
        self.line = to_line(verdict)
        if verdict.status is Status.SKIP:
            pytest.skip(verdict.message)
        if verdict.status is not Status.PASS:
            text = verdict.message or verdict.worst
            line = self.case.replay_line(with_plugins(registry.given_plugins()))
            replay = "" if "replay: " in text else f"\nreplay: {line}"
            raise WrongVerdict(f"{verdict.status} {self.case.id}\n{text}{replay}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The verdict's text; a traceback only of what is verify's own fault."""
        if isinstance(excinfo.value, WrongVerdict):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """What stands above a failure."""
        return ROOT, None, self.case.id


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """The verdict travels with the report, over pytest-xdist too."""
    report = yield
    if isinstance(item, CaseItem) and report.when == "call" and item.line is not None:
        report.needle_verify = item.line
    return report
