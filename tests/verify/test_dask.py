"""The plan on dask.distributed: two worker processes on loopback, one of them killed mid-run."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from verify.cli import main
from verify.dask_engine import Cluster
from verify.results import read
from verify.runner import Runner
from verify.spec import COMPUTED, JUDGES, Case, Status
from verify.worker import Settings

pytest.importorskip("distributed", reason="needs dask.distributed: pip install 'needle[dask]'")
pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]


def cases(op: str, n: int) -> list[Case]:
    return [Case(op, "forward", "cpu", "float32", ((i + 1,),)) for i in range(n)]


@pytest.mark.usefixtures("fake")
def test_a_killed_dask_worker_loses_nothing_and_misfortunes_cost_one_case() -> None:
    planned = [*cases("slow", 12), *cases("good", 20), *cases("segfault", 2), *cases("hang", 1)]
    with Cluster("dask://local", 2) as cluster:
        victim = next(iter(cluster.client.run(os.getpid).values()))
        settings = Settings("fake_parts:run_case")
        runner = Runner(planned, settings, engine=cluster.engine, timeout=3.0)
        verdicts = []
        for verdict in runner.verdicts():
            if verdict is not None:
                verdicts.append(verdict)
                if len(verdicts) == 3:
                    os.kill(victim, signal.SIGKILL)
    assert Counter(v.id for v in verdicts) == Counter(c.id for c in planned)
    expected = {"segfault": Status.CRASH, "hang": Status.TIMEOUT}
    for verdict in verdicts:
        assert verdict.status is expected.get(Case.parse(verdict.id).op, Status.PASS), verdict


def test_the_command_line(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.jsonl"
    arguments = ["--op", "good", "--device", "cpu,numpy", "--budget", "smoke"]
    code = main([*arguments, "--executor", "dask://local", "--json", str(path)], fake.parts())
    assert code == 0, capsys.readouterr()
    assert len(read(path).verdicts) == 2 * 2 * len(JUDGES) * len(COMPUTED)
    assert main([*arguments, "--executor", "dask://127.0.0.1:1"], fake.parts()) == 2
    assert "no scheduler answers" in capsys.readouterr().err
    assert main([*arguments, "--executor", "ray://here"], fake.parts()) == 2
    assert "dask://HOST:PORT" in capsys.readouterr().err
