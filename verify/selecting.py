"""From the options of the command line (or of pytest) to a Selection."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from verify.output import tell
from verify.plan import DEVICES, Registry, Selection, require_known
from verify.spec import COMPUTED, DTYPES, UsageError

# option -> where its names live; --op has all names
KINDS = {"layer": "nn.", "model": "models.", "optimizer": "optim."}
REPORTS = (
    "junit",
    "sarif",
    "markdown",
    "html",
)  # options, and the modules of verify that write them
BESIDE = ("baseline", "speed", "accuracy")  # options for files that the page shows too
# needle's in the environment: anything but 0, 1 and nothing is an error there too
SWITCHES = ("NEEDLE_CHECKED", "NEEDLE_CUDA_LIBS", "NEEDLE_ALLOW_TF32", "NEEDLE_SIM_RACES")
_LISTS = {"device": "devices", "dtype": "dtypes", "check": "judges", "layout": "layouts"}


def check_options(options: argparse.Namespace) -> None:
    """UsageError for values that no run can have; NEEDLE_DATA is what --data says."""
    if options.jobs is not None and options.jobs < 1:
        raise UsageError(f"[jobs] at least one worker, got jobs={options.jobs}")
    if not options.timeout > 0:
        raise UsageError(f"[timeout] a positive time, got timeout={options.timeout:g}")
    for name in ("json", *REPORTS, "resume", "replay", "data", "executor", "skips", "target"):
        if getattr(options, name) == "":
            raise UsageError(f"[{name}] it may not be empty, got {name}=''")
    require_writable(options, REPORTS, ("json", "resume", "replay", "skips", "plugin", *BESIDE))
    for name in BESIDE:
        if (given := getattr(options, name)) is not None and options.html is None:
            raise UsageError(f"[{name}] it is shown in the page of --html, got {name}={given}")
    seed = os.environ.get("NEEDLE_SIM_SEED", "")
    if seed and not (seed.isdecimal() and int(seed) < 2**64):
        raise UsageError(f"[setup] NEEDLE_SIM_SEED is a number, got NEEDLE_SIM_SEED={seed!r}")
    for name in SWITCHES:
        if (value := os.environ.get(name, "")) not in ("", "0", "1"):
            raise UsageError(f"[setup] a switch is 0 or 1, got {name}={value!r}")
    if "" in (options.plugin or ()):
        raise UsageError("[plugin] it may not be empty, got plugin=''")
    if options.data is not None:
        if not Path(options.data).is_dir():
            raise UsageError(f"[data] there is no such folder, got data={options.data}")
        os.environ["NEEDLE_DATA"] = str(Path(options.data).resolve())


def require_writable(
    options: argparse.Namespace, names: Sequence[str], others: Sequence[str] = ()
) -> None:
    """UsageError for a path that cannot be written: at the end, but told at once.

    Or that is another option's too, of `names` or of `others`: what lies there would be lost.
    """
    taken: dict[Path, str] = {}
    for name in others:
        given = getattr(options, name) or ()
        for path in [given] if isinstance(given, str) else given:
            taken.setdefault(Path(path).resolve(), name)
    for name in names:
        path = getattr(options, name)
        if path is None:
            continue
        if Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
            raise UsageError(f"[{name}] cannot write, got {name}={path}")
        if Path(path).exists() and not Path(path).is_file():  # /dev/null, a pipe
            continue
        if (other := taken.setdefault(Path(path).resolve(), name)) != name:
            raise UsageError(f"[{name}] a file of its own, got that of {other}: {name}={path}")


def write(option: str, path: str, text: str) -> None:
    """The file that an option asks for. Raises: UsageError."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:  # a folder that went away, a full disk
        raise UsageError(f"[{option}] cannot write, got {option}={path} ({error})") from error


def select(
    options: argparse.Namespace,
    registry: Registry,
    usable: Callable[[str], bool],
    earlier: Selection | None = None,
    computed: Callable[[str], Sequence[str] | None] = lambda device: COMPUTED,
) -> Selection:
    """What the options select; without any, what the resumed run `earlier` selected.

    computed: the dtypes that a device computes in; None where it cannot be asked.
    Raises: UsageError for an empty name, for a layer, model or optimizer that does not exist, and
    for a dtype that no device computes in.
    """
    chosen: dict[str, Any] = {}
    rows = tuple(registry.rows())
    patterns = [*names(options, "op")]
    for kind, prefix in KINDS.items():
        for name in names(options, kind):
            patterns.append(require_kind(kind, prefix + name.removeprefix(prefix), rows))
    if (files := getattr(options, "changed", None)) is not None:  # pytest has no such option
        from verify.changed import ops_of

        if not (concerned := ops_of(files, rows)):
            raise UsageError(f"[changed] no verdict depends on these files, got {' '.join(files)}")
        patterns += concerned
    if patterns:
        chosen["ops"] = tuple(patterns)
    for option, field in _LISTS.items():
        if found := names(options, option):
            chosen[field] = found
    for option in ("seed", "budget"):
        if (value := getattr(options, option)) is not None:
            chosen[option] = value
    if "all" in chosen.get("devices", ()):
        named = [device for device in chosen["devices"] if device != "all"]
        for device in named:
            require_known("device", device, DEVICES)
        # one asked for by name stays, usable or not: what is absent is told
        chosen["devices"] = tuple(d for d in DEVICES if d in named or usable(d))
    # A run may be given another budget of time, and nothing else, when it goes on.
    if earlier is not None and chosen.keys() <= {"budget"}:
        return replace(earlier, **chosen)
    return _where_computed(replace(Selection(), **chosen), "dtypes" in chosen, computed)


def _where_computed(
    selection: Selection, asked: bool, computed: Callable[[str], Sequence[str] | None]
) -> Selection:
    """The dtypes that were asked for, or all that a device computes in, each where it is computed.

    Raises: UsageError for one asked for that no device computes in.
    """
    known = {device: computed(device) for device in dict.fromkeys(selection.devices)}
    told = {device: of for device, of in known.items() if of is not None}
    dtypes = selection.dtypes
    if not asked:
        dtypes = tuple(t for t in DTYPES if t in COMPUTED or any(t in of for of in told.values()))
    without = []
    for dtype in (t for t in dict.fromkeys(dtypes) if t in DTYPES):
        lacking = [device for device, of in told.items() if dtype not in of]
        without += [f"{device}/{dtype}" for device in lacking]
        if not asked or not lacking:
            continue
        rule = f"{' and '.join(lacking)} {'does' if len(lacking) == 1 else 'do'} not compute in it"
        if len(lacking) == len(known):
            raise UsageError(f"[dtype] {rule}, got dtype={dtype}")
        tell(f"dtype {dtype} left out on {', '.join(lacking)}: {rule}")
    return replace(selection, dtypes=dtypes, without=tuple(without))


def names(options: argparse.Namespace, option: str) -> tuple[str, ...]:
    """The names of an option that is repeated or has commas; UsageError where it names nothing."""
    values: Sequence[str] = getattr(options, option) or ()
    found: list[str] = []
    for value in values:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not parts:
            raise UsageError(f"[{option}] a name or several, got {option}={value!r}")
        found += parts
    return tuple(found)


def require_kind(kind: str, pattern: str, rows: Sequence[str]) -> str:
    """The pattern, if a row of that kind fits it."""
    import fnmatch

    if not fnmatch.filter(rows, pattern):
        name = pattern.removeprefix(KINDS[kind])
        known = [row.removeprefix(KINDS[kind]) for row in rows if row.startswith(KINDS[kind])]
        others = [row for row in rows if not row.startswith(KINDS[kind])]
        require_known(kind, name, known, others)
    return pattern
