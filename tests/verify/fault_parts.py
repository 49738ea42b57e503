"""Run as a program: what becomes of some faults in processes forked from this one, as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from verify.faults.baseline import Baseline, Cache, cases_of
from verify.faults.child import Asked, Stillborn, Unready, ask
from verify.faults.engine import Engine, warm_up
from verify.faults.fault import Fault
from verify.faults.planting import Python, source_root
from verify.faults.tasks import Judge, Setup
from verify.spec import Status

ROOT = source_root()
CASE = "{}/{}/cpu/float32/{}/-/compact/interior/seed0"


def fault(path: str, before: str, after: str) -> Fault:
    """One made by hand, of a line that stands once in a file."""
    lines = (ROOT / path).read_text().split("\n")
    line = lines.index(before) + 1
    return Fault(f"{path}:made:dropped:{line}", path, line, before, after)


SIN = ("needle/ops/functions.py", "        return a.sin()")
RIGHT = fault(*SIN, "        return a.sin() * 1")
FAULTS = {
    "wrong": fault(*SIN, "        return a.sin() * 1.001"),
    "equal": RIGHT,
    "crash": fault(*SIN, "        import os; os.abort()"),
    "hang": fault(*SIN, "        import time; time.sleep(1000)"),
    "raises": fault(*SIN, "        raise ValueError('no')"),
    "greedy": fault(*SIN, "        bytearray(1 << 40); return a.sin()"),
    "printing": fault(*SIN, "        print('noise', flush=True); return a.sin()"),
    "stillborn": fault("needle/ops/functions.py", "import math", "import maths"),
    "unplanted": fault("needle/autograd/numpy_world.py", "from __future__ import annotations", ""),
    "package": fault("needle/ops/__init__.py", "from needle.ops.softmax import *",
                     "from needle.ops.softmax import *; sin = cos"),
}  # fmt: skip


def answers(name: str, made: Fault | None, **options: Any) -> list[Any]:
    asked = [
        Asked(CASE.format("sin", judge, shape), judge, 3.0 if name == "hang" else 20.0)
        for judge in ("forward", "vjp")
        for shape in ("33", "2x3")
    ]
    asked.append(Asked(CASE.format("cos", "forward", "33"), "cos"))
    try:
        found = list(ask(Python(ROOT), made, asked, **options))
    except Stillborn as error:
        return ["stillborn", str(error)]
    except Unready as error:
        return ["unready", str(error)]
    if options.get("watch"):
        return [sorted(a.places) for a in found]
    return [[a.case.split("/")[0], a.group, a.status, a.message] for a in found]


def made_of(name: str) -> Fault:
    """A fault with the id of one in Sin.compute."""
    return replace(FAULTS[name], id="needle/ops/functions.py:Sin.compute:dropped:9")


def judged(folder: str) -> dict[str, Any]:
    """Faults through the engine at budget smoke, asked of the rows sin and cos."""
    engine = Engine(Setup("smoke", folder, "key"))
    found = {}
    for name in ("wrong", "equal", "stillborn"):
        found[name] = engine.do(Judge("python", made_of(name), ("sin", "cos"), "digest"))
    quick = Engine(Setup("smoke", folder, "key", first=True))
    found["first"] = quick.do(Judge("python", made_of("wrong"), ("sin", "cos"), "digest"))
    # what found a fault before comes first, where it is one of the run's cases and finds it again
    last = [case.id for case in cases_of("cos", "cpu", "smoke") if case.judge == "vjp"][-1]
    right = found["first"].case.replace("forward", "vjp")
    for name, known in (("known", last), ("known_no_more", right), ("unknown", f"{last}9")):
        judge = Judge("python", made_of("wrong"), ("sin", "cos"), "digest", known=known)
        found[name] = quick.do(judge)
    judge = Judge("python", made_of("wrong"), (), "digest", ("relu", "cos"), "wide", last)
    found["known_of_others"] = quick.do(judge)
    found["unreached"] = engine.do(Judge("python", FAULTS["wrong"], (), "digest"))
    # what no smoke case executes is asked of the other rows, by their larger plans
    others = Judge("python", made_of("wrong"), (), "digest", ("relu", "sin"), "wide")
    found["others"] = quick.do(others)
    # a case that fails without the fault, too, is none that found it
    baseline = Cache(Path(folder), "key").get(Python(ROOT), "sin", "smoke")
    assert baseline is not None
    assert found["wrong"] is not None
    alarm = found["wrong"].case
    cases = dict(baseline.cases)
    cases[alarm] = replace(cases[alarm], status=Status.FAIL)
    Cache(Path(folder), "alarm").put(Python(ROOT), Baseline("sin", cases), "smoke")
    engine = Engine(Setup("smoke", folder, "alarm"))
    found["alarmed"] = engine.do(Judge("python", made_of("wrong"), ("sin",), "digest"))
    return {name: outcome.to_json() for name, outcome in found.items() if outcome}


if __name__ == "__main__":
    warm_up()
    report: dict[str, Any] = {name: answers(name, made, stop=True) for name, made in FAULTS.items()}
    report["right"] = answers("right", None)
    report["every"] = answers("wrong", FAULTS["wrong"])
    report["watched"] = answers("watched", None, watch=True)
    report["engine"] = judged(sys.argv[1])
    report["imported"] = "needle" in sys.modules
    sys.stdout.write(json.dumps(report))
