"""needle-verify: from arguments to an exit code.

Imports are lazy: --help and usage errors answer at once, and only workers import torch.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from verify import command
from verify.output import Output, say, tell
from verify.setup import Parts
from verify.spec import BUDGETS, DTYPES, JUDGES, LAYOUTS, Exit, UsageError

_EPILOG = """\
examples:
  needle-verify                              every op on the cpu device, float32 and float64
  needle-verify --device cuda --dtype bfloat16,float16   16 bits, where a device computes in them
  needle-verify --op conv --device cuda      one op on the GPU; exit 2 if there is none
  needle-verify --layer Conv                 a layer; --model and --optimizer likewise
  needle-verify --op 'conv*' --op reduction  by glob and by family, on the cpu device
  needle-verify --op init,transform,schedule what is no op has a family too
  needle-verify --device cpu,numpy,cuda_sim --json results.jsonl
  needle-verify --budget smoke               a few cases of everything, in seconds
  needle-verify --changed needle/ops/convolution.py --budget smoke
  needle-verify --budget 60                  as many cases as fit into a minute
  needle-verify --resume results.jsonl       go on after an interrupt
  needle-verify --resume results.jsonl --html r.html --baseline before.jsonl --speed s.json
  needle-verify --plugin my_ops.py --op swish  an op of your own: docs/custom-op.md
  needle-verify --target ~/hw4               the needle in that folder, as far as the course goes
  needle-verify --list --op matmul           the plan, one case id a line; runs nothing
  needle-verify --replay 'matmul/vjp/cpu/float32/4x5,5x3/-/compact/interior/seed0'

subcommands, each with a --help of its own:
  bench       the speed of ops, layers and models beside torch
  calibrate   the error of every unary op over all float32 there are
  faults      faults planted in needle: which judges find which, and what none finds
  compare     two runs side by side: changed verdicts, rho, seconds
  gate        a run beside a recorded one: failures, coverage, accuracy, speed, planted faults

what is judged:
  forward  the result against torch in float64, under a bound derived for each element
  vjp      the gradient against torch in float64, for a random signed cotangent
  fd       the gradient against finite differences of the device's own float64 forward
  second   the gradient of the gradient against finite differences of the gradient
  errors   bad input is refused: shapes, axes, arguments, mixed dtypes and devices, arrays
  algebra  linear ops have their adjoints, remainders shrink as the square, identities between ops
  batch    a row's result does not depend on its neighbours, nor on how many there are
  growth   the error at sums of 16 to 100,000 terms, signed, positive and constant ones
  across   the device against numpy: special values, signs of zeros, exact results
  distribution  what initialisers and new layers draw: the numbers, and how they are distributed
  step     training steps, each from the target's state: loss, gradients, parameters after it
  trajectory  20 training steps in float64: losses, parameters; tolerance measured on the twin
  every call: inputs unharmed, nothing written outside or left behind, the same bits on more threads
  16 bits: computed in float32, rounded once; differences and trajectories need float64
  rho is measured error / bound: up to 1 is right. Exact ops have none. torch: ULP of torch itself.

statuses:
  PASS, FAIL   right, wrong   CRASH, TIMEOUT   the process died, or took too long
  SKIP         wrong, and known: named in the file of --skips
  WEAK         right, but zeros, a constant, stale memory, a copy or NaN would have passed as well
  MISSING      nothing there to judge (UNIMPLEMENTED in files)

a case id says all that a case is, and --replay takes it:
  op/judge/device/dtype/shapes/arguments/layout/region/seed; - stands for no arguments

files:
  FILE.failures/     inputs of failures, beside the FILE of --json; .needle-verify/ without it
  what --json writes is what --resume, --replay, compare and gate read

environment:
  NEEDLE_DATA          a folder, as --data
  NEEDLE_ISA           v2, v3, v4: the kernels of the cpu device (the best)
  NEEDLE_SIM_SEED      a number: the order in which the simulator runs threads
  NEEDLE_SIM_RACES=1   the simulator checks every access of a kernel
  NO_COLOR             no colours

exit codes:
  0 all good   1 something is wrong (FAIL, CRASH, TIMEOUT)   2 usage or set-up
  3 the evidence is too weak (WEAK groups, MISSING ops, nothing selected, not all run,
    a skip that is stale or has expired)   4 something regressed (needle-verify gate)
  OPEN: wrong where the course that --target was written for defines nothing; no failure
"""


# name -> module with DESCRIPTION, EPILOG, options(parser) and run(options, arguments, parts)
SUBCOMMANDS = {
    "bench": "verify.bench.command",
    "calibrate": "verify.calibration.command",
    "compare": "verify.compare.command",
    "faults": "verify.faults.command",
    "gate": "verify.gate.command",
}


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are UsageErrors, with near matches for options."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"[usage] {message}; {self.prog} --help explains the options")

    def _print_message(self, message: str, file: object = None) -> None:
        """Where --help goes: a reader that went away, or a full disk, is no traceback."""
        say(message, end="")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """parse_args, with a hint for an unknown option."""
        found, unknown = self.parse_known_intermixed_args(arguments)
        if unknown:
            from verify.plan import require_known

            option = unknown[0].partition("=")[0]
            if not option.startswith("-"):
                raise UsageError(
                    f"[usage] a bare word, got {option!r}; did you mean --op {option}?"
                )
            require_known("option", option, [o for o in self._option_string_actions])
        return found


def parser() -> _Parser:
    """The command line of needle-verify."""
    p = _Parser(
        prog="needle-verify",
        description="Judges every op of needle, forward and gradients, on every device.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = p.add_argument_group("what to verify")
    what.add_argument(
        "--op",
        action="append",
        metavar="NAME",
        help="op, family or glob; repeat or separate by commas",
    )
    for kind, example in {"layer": "Conv", "model": "ResNet9", "optimizer": "Adam"}.items():
        what.add_argument(
            f"--{kind}", action="append", metavar="NAME", help=f"the same for {kind}s: {example}"
        )
    what.add_argument(
        "--changed",
        nargs="+",
        metavar="FILE",
        help="ops that source files of needle concern; every op where others rest on them",
    )
    what.add_argument(
        "--target",
        metavar="PATH",
        help="somebody else's needle, written as in the course: its folder",
    )
    what.add_argument(
        "--device",
        action="append",
        metavar="NAMES",
        help="cpu (default), numpy, cuda_sim, cuda; all: those that work here, the others named",
    )
    what.add_argument(
        "--dtype",
        action="append",
        metavar="NAMES",
        help=f"{', '.join(DTYPES)} (all that a device computes in)",
    )
    what.add_argument(
        "--check", action="append", metavar="NAMES", help=f"{', '.join(JUDGES)} (all)"
    )
    what.add_argument(
        "--layout", action="append", metavar="NAMES", help=f"{', '.join(LAYOUTS)} (all)"
    )
    what.add_argument(
        "--seed", type=int, metavar="N", help="other random numbers (0); part of the id"
    )
    what.add_argument(
        "--plugin",
        action="append",
        metavar="FILE",
        help="rows for ops of your own (verify.row), listed in ROWS; repeatable",
    )
    what.add_argument(
        "--data", metavar="DIR", help="real inputs too (NEEDLE_DATA): a folder with MNIST"
    )
    what.add_argument(
        "--budget",
        metavar="B",
        help=f"{', '.join(BUDGETS)}, or seconds: as many cases as fit, every group first",
    )
    how = p.add_argument_group("how to run")
    how.add_argument(
        "--skips", metavar="FILE", help="known failures (TOML): each with a reason, until a day"
    )
    how.add_argument("--list", action="store_true", help="print the ids of the plan and stop")
    how.add_argument(
        "--replay", metavar="ID|FILE", help="one case, or the failures of a results file"
    )
    how.add_argument("--jobs", type=int, metavar="N", help="workers per device (2; cuda 1)")
    how.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="seconds a case may take (60)"
    )
    how.add_argument(
        "--executor",
        metavar="URL",
        help="dask://HOST:PORT or dask://local: on the workers of dask.distributed",
    )
    how.add_argument(
        "--no-cache",
        action="store_true",
        help="judge every case anew: keep no verdicts, and take none of earlier runs",
    )
    how.add_argument("--resume", metavar="FILE", help="go on with the run that wrote FILE")
    out = p.add_argument_group("what to print")
    out.add_argument("--json", metavar="FILE", help="keep every verdict, one JSON line each")
    out.add_argument("--junit", metavar="FILE", help="a JUnit XML report, a test case each")
    out.add_argument("--sarif", metavar="FILE", help="failures at the lines of their ops (SARIF)")
    out.add_argument("--markdown", metavar="FILE", help="a short report, failures first")
    out.add_argument(
        "--html", metavar="FILE", help="a page with everything: failures, coverage, accuracy"
    )
    out.add_argument(
        "--baseline",
        metavar="FILE",
        help="in the page, what changed: an earlier run's results, or a gate's baseline",
    )
    out.add_argument("--speed", metavar="FILE", help="in the page: a JSON of needle-verify bench")
    out.add_argument(
        "--accuracy",
        action="append",
        metavar="FILE",
        help="in the page, errors over the domain: a JSON of calibrate; repeatable",
    )
    out.add_argument("-v", "--verbose", action="store_true", help="every verdict, every failure")
    out.add_argument("-q", "--quiet", action="store_true", help="failures and totals only")
    out.add_argument(
        "--no-color", action="store_true", help="no colours (also NO_COLOR, and pipes)"
    )
    out.add_argument(
        "--completion", metavar="SHELL", help="print completion for bash, zsh or fish: source it"
    )
    out.add_argument("--version", action="store_true", help="print the version and stop")
    return p


def _completion(shell: str, parts: Parts | None) -> int:
    """Print the completion of a shell."""
    from verify import completion, registry
    from verify.plan import require_known

    require_known("completion", shell, completion.SHELLS)
    known = parts.registry if parts is not None and parts.registry is not None else registry
    say(completion.script(shell, parser(), known), end="")
    return int(Exit.USAGE if Output.failed else Exit.GOOD)


def subcommand(name: str) -> _Parser:
    """The command line of a subcommand."""
    module = importlib.import_module(SUBCOMMANDS[name])
    p = _Parser(
        prog=f"needle-verify {name}",
        description=module.DESCRIPTION,
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.options(p)
    return p


def main(arguments: Sequence[str] | None = None, parts: Parts | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    Output.prepare()
    try:
        if arguments and arguments[0] in SUBCOMMANDS:
            name, *rest = arguments
            run = importlib.import_module(SUBCOMMANDS[name]).run
            code = int(run(subcommand(name).parse(rest), rest, parts))
        else:
            options = parser().parse(arguments)
            if options.completion is not None:
                return _completion(options.completion, parts)
            code = command.run(options, arguments, parts or Parts())
    except UsageError as error:
        tell(str(error))
        code = Exit.USAGE
    except KeyboardInterrupt:
        tell("interrupted before anything was judged")
        code = Exit.WEAK
    say("", end="")  # flushes: a closed pipe shows here, not at the interpreter's exit
    if Output.failed and code != Exit.WRONG:
        code = Exit.USAGE  # the smallest of several; what was asked for could not be printed
    return int(code)
