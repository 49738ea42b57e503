"""needle-verify --replay: one case, or the failures of a file, as they ran then."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from verify.output import say
from verify.spec import MALFORMED, Case, Exit, Status, UsageError, Verdict, plugins_of

if TYPE_CHECKING:
    from verify.setup import Setup
    from verify.table import Paint


def replay(setup: Setup, what: str, paint: Paint) -> Exit:
    """Run one case id, or the failed cases of a file as they ran then; print all they say."""
    from verify import table
    from verify.plan import DEVICES, check_case, require_computed

    known = True  # to the registry; a function given to verify.check is known to its file
    if Path(what).is_file():
        recorded = _saved(setup, Path(what))
        known = not recorded
        recorded = recorded or _recorded(Path(what))
    else:
        recorded = [Verdict(Case.parse(what).id, Status.PASS)]
    setup.use_plugins([path for old in recorded for path in plugins_of(old.environment)])
    code = Exit.GOOD
    for old in recorded:
        case = Case.parse(old.id)
        if known:
            check_case(case, setup.registry)
        if known or case.device in DEVICES:
            setup.require_usable([case.device])
            computed = setup.computed_dtypes(case.device) or ()
            require_computed(case.dtype, case.device, computed, f" in id={case.id!r}")
        threads, isa = int(old.environment.get("threads", 1)), old.environment.get("isa", "")
        for verdict in setup.arriving(setup.runner([case], threads, isa)):
            if verdict is None:
                continue
            if verdict.attribution == MALFORMED:
                raise UsageError(verdict.message)
            say(table.full(verdict, paint))
            if old.digest and verdict.digest:
                same = "the same as" if verdict.digest == old.digest else "other than"
                say(f"  bits        {same} recorded")
            if verdict.status is not Status.PASS:
                code = Exit.WRONG if verdict.status is not Status.UNIMPLEMENTED else Exit.WEAK
    return code


def _saved(setup: Setup, path: Path) -> list[Verdict]:
    """The failure in a file of one, if it is such a file."""
    if path.suffix != ".json" or b"needle_verify_saved" not in path.read_bytes()[:100]:
        return []
    from verify import saved

    data = saved.read(path)
    if data is None:
        return []
    os.environ[saved.VARIABLE] = str(path.resolve())
    setup.parts = replace(setup.parts, case_function="verify.saved:run_case")
    digest = str(data.get("digest", ""))
    return [Verdict(data["case"], Status.FAIL, environment=data["environment"], digest=digest)]


def _recorded(path: Path) -> list[Verdict]:
    """The wrong verdicts of a results file, or the only verdict of a saved failure."""
    from verify.results import read
    from verify.summary import WRONG

    found = read(path, header_optional=True)
    wrong = [v for v in found.verdicts if v.status in WRONG]
    if not wrong:
        raise UsageError(f"[replay] the file holds no failed case, got file={path}")
    return wrong
