"""Time against size, needle's beside torch's: where does either jump?

    python tests/evidence/growth.py --json reports/growth.json --markdown reports/growth.md

Ops from 2^4 to 2^26 elements, products of square matrices, and training steps from one sample to
256, calls of both in turn. A cliff is a size at which needle's time for each element is more than
twice that of the size before, where torch's is not.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from report import provenance, table

import needle as ndl
from verify.bench import training
from verify.bench.definitions import Pair, both
from verify.bench.measure import compare
from verify.bench.operations import square
from verify.output import by_lines

CLIFF = 2.0
Series = Callable[[int, str], Pair]  # of a size and a dtype


def two(ours: Any, theirs: Any, n: int, dtype: str) -> Pair:
    (a, t), (b, u) = (both((n,), dtype, seed) for seed in (1, 2))
    return Pair("", "", dtype, lambda: ours(a, b), {"": lambda: theirs(t, u)})


def one(ours: Any, theirs: Any, n: int, dtype: str) -> Pair:
    a, t = both(square(n)[0], dtype, 1)
    return Pair("", "", dtype, lambda: ours(a), {"": lambda: theirs(t)})


def product(n: int, dtype: str) -> Pair:
    (a, t), (b, u) = (both((n, n), dtype, seed) for seed in (1, 2))
    return Pair("", "", dtype, lambda: a @ b, {"": lambda: t @ u})


def step(family: Callable[..., Iterator[Pair]], place: int, n: int, dtype: str) -> Pair:
    return list(family(dtype, n))[place]


OPS: dict[str, Series] = {
    "add": partial(two, ndl.add, torch.add),
    "exp": partial(one, ndl.exp, torch.exp),
    "sum": partial(one, ndl.summation, torch.sum),
    "softmax": partial(one, ndl.softmax, lambda t: torch.softmax(t, -1)),
}
STEPS: dict[str, Series] = {
    "ResNet9": partial(step, training.resnet, 0),
    "ResNet9 of DAWNBench's size": partial(step, training.resnet, 1),
    "LSTM language model": partial(step, training.language_model, 0),
    "Transformer": partial(step, training.transformers, 0),
    "MLP": partial(step, training.perceptron, 0),
}
# name -> (what makes its pairs, sizes, elements of a size by which its time is divided, unit)
SERIES: dict[str, tuple[Series, list[int], Callable[[int], int], str]] = {
    **{name: (f, [1 << k for k in range(4, 27)], int, "elements") for name, f in OPS.items()},
    "matmul": (product, [1 << k for k in range(2, 12)], lambda n: n**3, "rows"),
    # torch normalizes no batch of a single value, which the course's ResNet9 ends in
    **{
        name: (f, [1 << k for k in range(name == "ResNet9", 9)], int, "samples")
        for name, f in STEPS.items()
    },
}


def cliffs(points: Sequence[Mapping[str, Any]], work: Callable[[int], int]) -> list[dict[str, Any]]:
    """Sizes at which needle's time by work rises by more than CLIFF, and torch's does not."""
    found = []
    for before, here in itertools.pairwise(points):
        more = work(here["size"]) / work(before["size"])
        rise = {
            side: here[f"{side}_us"] / before[f"{side}_us"] / more for side in ("needle", "torch")
        }
        if rise["needle"] > CLIFF >= rise["torch"]:
            found.append({"size": here["size"], **rise})
    return found


def measure(
    names: Sequence[str], dtype: str, largest: int, rounds: int, target: float
) -> Iterator[dict[str, Any]]:
    """Every series, with the ratio to torch at each of its sizes."""
    for name in names:
        make, sizes, work, unit = SERIES[name]
        points = []
        for size in sizes:
            if size > largest:
                break
            row = compare(make(size, dtype), rounds, target)
            kept = ("needle_us", "torch_us", "ratio", "ratio_quartiles")
            points.append({"size": size} | {key: row[key] for key in kept})
            sys.stderr.write(f"{name} {size}: {row['needle_us']:.2f} us, {row['ratio']:.2f} x\n")
        yield {
            "name": name, "dtype": dtype, "unit": unit, "points": points,
            "cliffs": cliffs(points, work),
        }  # fmt: skip


def page(data: Mapping[str, Any]) -> str:
    """The series as a page, cliffs first."""
    origin = data["provenance"]
    jumps = [
        f"- {s['name']} at {c['size']:,} {s['unit']}: {c['needle']:.2f} x by element, torch's "
        f"{c['torch']:.2f} x"
        for s in data["series"]
        for c in s["cliffs"]
    ]
    parts = [
        "# Growth",
        f"`{origin['command']}`; {origin['cpu']}; commit {str(origin['commit'])[:12]}; torch "
        f"{origin['versions']['torch']}; {data['threads']} thread(s). Microseconds of a call, "
        "torch's by needle's.",
        f"Cliffs (time by element more than {CLIFF:g} times that of the size before, where torch's "
        "is not):",
        "\n".join(jumps) or "none.",
    ]
    for s in data["series"]:
        lines = [
            (f"{p['size']:,}", f"{p['needle_us']:,.2f}", f"{p['torch_us']:,.2f}",
             f"{p['ratio']:.2f}")
            for p in s["points"]
        ]  # fmt: skip
        parts += [
            f"## {s['name']}, {s['dtype']}",
            table((s["unit"], "needle", "torch", "ratio"), lines),
        ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--series", nargs="+", default=list(SERIES), choices=list(SERIES))
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--largest", type=int, default=1 << 26, metavar="N", help="size")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--target", type=float, default=0.01, metavar="S", help="of a turn")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    ndl.set_num_threads(chosen.threads)
    with mock.patch.object(training, "products", return_value=0.0):  # shares of limits: not asked
        found = list(
            measure(chosen.series, chosen.dtype, chosen.largest, chosen.rounds, chosen.target)
        )
    data = {
        "provenance": provenance("tests/evidence/growth.py", arguments),
        "threads": chosen.threads,
        "series": found,
    }
    if chosen.json is not None:
        chosen.json.write_text(by_lines(data))
    if chosen.markdown is not None:
        chosen.markdown.write_text(page(data))
    sys.stdout.write("\n".join(page(data).split("\n\n")[2:4]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
