"""What a verification run is made of: rows, cases, verdicts, and the words of the contract.

A *row* describes an op once (verify/registry). A *case* is one question about it: op x judge x
device x dtype x shapes x arguments x layout x region x seed. Its id is the whole case: seed, test
id and replay line. A *verdict* answers it. Nothing here imports needle or torch.
"""

from __future__ import annotations

import ast
import enum
import functools
import hashlib
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Shape = tuple[int, ...]


class Status(enum.StrEnum):
    """Outcome of a case; WEAK is the only one that is decided per group, after the run."""

    PASS = "PASS"
    FAIL = "FAIL"
    CRASH = "CRASH"
    TIMEOUT = "TIMEOUT"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    SKIP = "SKIP"
    WEAK = "WEAK"


class Exit(enum.IntEnum):
    """Exit codes of needle-verify (contract)."""

    GOOD = 0
    WRONG = 1
    USAGE = 2
    WEAK = 3
    REGRESSED = 4


JUDGES = (
    "forward", "vjp", "fd", "second", "errors", "algebra", "batch", "growth", "across",
    "distribution", "step", "trajectory",
)  # fmt: skip
# Judges whose cases are none of the row's samples, or no question for torch.
OWN_INPUTS = ("errors", "growth", "distribution", "step", "trajectory")
DTYPES = ("float32", "float64", "float16", "bfloat16")
COMPUTED = DTYPES[:2]  # on every device; the others where a device says that it computes them
BUDGETS = ("smoke", "default", "deep")  # each holds the cases of those before it
# mixed: every input has a layout of its own; aliased: inputs of one shape are one array
LAYOUTS = (
    "compact", "strided", "offset", "transposed", "reversed", "broadcast", "mixed", "aliased",
)  # fmt: skip
# Outputs that a judge must be able to tell from a right one; a group is WEAK when one of them
# passes all its cases.
IMPOSTORS = ("zeros", "constant", "stale", "nan", "copy")
# Attribution of a case that somebody else's needle need not get right, and does not.
OUTSIDE = "outside of what the course defines"
# Attribution of a case whose question itself is wrong: the reference refuses its inputs. FAIL in
# a row of needle's, whose registry is ours; UNIMPLEMENTED in a plugin's: it says nothing of the op.
MALFORMED = "the question is malformed"


class Missing(Exception):
    """The target does not offer what the row names."""


class Broken(Exception):
    """The target broke a rule that holds for any values: dtype, device, inputs, memory."""


class UsageError(Exception):
    """A request that cannot be run as given (exit 2): unknown op, absent device, malformed id."""


class Unanswered(UsageError):
    """The reference raised where a case asks it; what it raised is the cause."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One choice of input shapes and keyword arguments, with the region of the values."""

    shapes: tuple[Shape, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    region: str = "interior"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Shapes and keyword arguments that an op must not accept."""

    shapes: tuple[Shape, ...]
    kwargs: tuple[tuple[str, Any], ...]
    raises: str  # the exception's type, or one that it derives from
    says: str = ""  # a regular expression that its text contains


@dataclass(frozen=True, slots=True)
class Identity:
    """An equation that every right op fulfils, of its results and of other ops'."""

    says: str
    # (the row's op, other ops by name, *tensors, **arguments) -> two sides; None: not asked here
    sides: Callable[..., Any]
    # (format, left side, *inputs, **arguments) -> how far apart the sides of a right op may be;
    # None: integers in, and equal
    bound: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Where an op's inputs and results hold rows that do not depend on each other."""

    # (shapes, **arguments) -> the axis of the rows in each input (None: all rows share it) and in
    # the result; None: there are no rows
    axes: Callable[..., tuple[Sequence[int | None], int] | None]
    # (device, shapes, **arguments) -> whether its kernels guarantee the same bits
    bitwise: Callable[..., bool]
    least: int = 1  # rows that are asked for without the others


@dataclass(frozen=True, slots=True)
class Growth:
    """How an op is asked at growing lengths of its sums."""

    sample: Callable[[int], Sample]  # of a length
    # (device, length) -> the most roundings that one term takes part in, where the kernels
    # guarantee fewer than one for each term; None: the reference's bound stands
    depth: Callable[[str, int], int | None] = lambda device, length: None
    # numpy arrays of more precision -> the result, where depths are known: a sum of the inputs, or
    # of products, so that of absolute values it is sum |terms|
    exact: Callable[..., Any] | None = None
    results: int = 0  # roundings of what becomes of the sum
    longest: int = 100_003  # length of the longest, where there is time for long sums


@dataclass(frozen=True)
class Case:
    """One question; `id` holds all of it.

    >>> Case("conv", "vjp", "cpu", "float32", ((1, 4, 4, 2), (3, 3, 2, 5)), (("stride", 2),)).id
    'conv/vjp/cpu/float32/1x4x4x2,3x3x2x5/stride=2/compact/interior/seed0'
    """

    op: str
    judge: str
    device: str
    dtype: str
    shapes: tuple[Shape, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    layout: str = "compact"
    region: str = "interior"
    seed: int = 0

    @functools.cached_property
    def id(self) -> str:
        """The readable string that replays the case."""
        shapes = ",".join("x".join(map(str, s)) if s else "0d" for s in self.shapes)
        kwargs = ",".join(f"{k}={v!r}".replace(" ", "") for k, v in self.kwargs)
        return "/".join(
            (
                self.op,
                self.judge,
                self.device,
                self.dtype,
                shapes or "-",
                kwargs or "-",
                self.layout,
                self.region,
                f"seed{self.seed}",
            )
        )

    @classmethod
    def parse(cls, text: str) -> Case:
        """The case that an id names; raises UsageError naming the malformed part."""
        parts = text.strip().split("/")
        if len(parts) != 9:
            raise UsageError(
                f"[replay] a case id has 9 parts separated by '/', got {len(parts)} in id={text!r}"
            )
        op, judge, device, dtype, shapes, kwargs, layout, region, seed = parts
        try:
            return cls(
                op,
                judge,
                device,
                dtype,
                _parse_shapes(shapes),
                _parse_kwargs(kwargs),
                layout,
                region,
                _parse_seed(seed),
            )
        except (ValueError, SyntaxError) as error:
            raise UsageError(f"[replay] malformed case id, got id={text!r} ({error})") from error

    def replay_line(self, environment: Mapping[str, str] | None = None) -> str:
        """The shell command that runs this case alone, with what it was run with."""
        return f"needle-verify {replay_options(environment or {})}--replay {shlex.quote(self.id)}"

    def entropy(self, stream: str) -> bytes:
        """The 256-bit seed of one named random stream of this case: a stable hash of the id.

        The device is left out, so that every device sees the same numbers and attribution compares
        like with like.
        """
        op, judge, _, rest = self.id.split("/", 3)
        return hashlib.blake2b(f"{op}/{judge}/{rest}#{stream}".encode(), digest_size=32).digest()


def _near(path: str) -> str:
    """A path from the current folder where it lies below."""
    below = Path(path).is_relative_to(Path.cwd())
    return str(Path(path).relative_to(Path.cwd())) if below else path


def _parse_shapes(text: str) -> tuple[Shape, ...]:
    if text == "-":
        return ()
    return tuple(
        () if part == "0d" else tuple(int(n) for n in part.split("x")) for part in text.split(",")
    )


def _parse_kwargs(text: str) -> tuple[tuple[str, Any], ...]:
    if text == "-":
        return ()
    call = ast.parse(f"f({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError(f"arguments are name=literal, got {text!r}")
    return tuple((str(k.arg), ast.literal_eval(_Infinite().visit(k.value))) for k in call.keywords)


class _Infinite(ast.NodeTransformer):
    """inf, as repr writes it, is no literal."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(math.inf) if node.id == "inf" else node


def _parse_seed(text: str) -> int:
    if not text.startswith("seed"):
        raise ValueError(f"the last part is seedN, got {text!r}")
    return int(text.removeprefix("seed"))


@dataclass(slots=True)
class Verdict:
    """The answer to a case; one line of the results file."""

    id: str
    status: Status
    rho: float | None = None  # measured error / bound at the worst element; None for exact ops
    ulp: float | None = None  # largest error in ULP of the result
    # the same of torch's own result in the case's dtype; None in float64, where torch is the oracle
    torch_rho: float | None = None
    torch_ulp: float | None = None
    worst: str = ""  # the worst element as an equation: "dx[0,7] = 1.3, should be 1.4"
    budget: dict[str, float] = field(default_factory=dict)  # the bound's terms at the worst element
    attribution: str = ""
    message: str = ""  # failure text, skip reason, or crash signal
    impostors: tuple[str, ...] = ()  # those of IMPOSTORS that would have passed this case
    vacuous_reason: str = ""  # why the row declares the result constant or zero here
    checked: int = 0  # elements compared
    seconds: float = 0.0
    # isa, threads, plugins: what replay restores
    environment: dict[str, str] = field(default_factory=dict)
    digest: str = ""  # of the bits of the results or gradients that were judged
    source: str = ""  # where the op of a wrong case is written, as path:line
    cached: bool = False  # of an earlier run: nothing that it depends on has changed since
    # path:name of the functions of needle behind it, for the cache alone; None: not known
    reached: tuple[str, ...] | None = None

    def replay_line(self) -> str:
        """The shell command that runs its case alone."""
        return Case.parse(self.id).replay_line(self.environment)

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        values = {name: getattr(self, name) for name in self.__slots__}  # asdict copies, slowly
        del values["reached"]
        for name in ("torch_rho", "torch_ulp"):  # most cases have none
            if values[name] is None:
                del values[name]
        return values | {"status": str(self.status)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """The verdict that to_json wrote."""
        values = dict(data)
        values["status"] = Status(values["status"])
        values["impostors"] = tuple(values.get("impostors", ()))
        return cls(**values)


def with_plugins(paths: Sequence[str]) -> dict[str, str]:
    """What an environment records of plugins."""
    return {"plugins": os.pathsep.join(paths)} if paths else {}


def replay_options(environment: Mapping[str, str]) -> str:
    """--target and --plugin, as an environment names them: text for a shell, ending in a space."""
    given = [("--target", environment["target"])] if "target" in environment else []
    given += [("--plugin", _near(path)) for path in plugins_of(environment)]
    return "".join(f"{option} {shlex.quote(value)} " for option, value in given)


def plugins_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The plugins that an environment names."""
    return tuple(filter(None, environment.get("plugins", "").split(os.pathsep)))


@dataclass(frozen=True, slots=True)
class Domain:
    """Where an input's values lie: the open interval (low, high), and how far they reach.

    `huge` and `tiny` give the largest and smallest magnitudes worth trying from the dtype's largest
    number; the defaults keep products, squares and quotients of two inputs in range.
    """

    low: float = -math.inf
    high: float = math.inf
    # standard deviation of interior values (of their logarithm, where low is 0 or 0 is left out)
    spread: float = 1.0
    huge: Callable[[float], float] = lambda largest: largest**0.4
    tiny: Callable[[float], float] = lambda largest: largest**-0.4
    special: bool = True  # whether infinities and NaN go into this input in region "special"
    nonzero: bool = False  # both signs, with the magnitudes that an interval from 0 has: a divisor


@dataclass(frozen=True, slots=True)
class Draws:
    """Numbers that a name draws, from numpy's global generator, or starts with."""

    samples: Sequence[Sample]  # of arguments
    # (**arguments) -> name -> a law of verify.laws, one for each result, in the order of drawing
    laws: Callable[..., Mapping[str, Any]]
    # (what the name stands for, where, **arguments) -> results, nested or not
    call: Callable[..., Any]
    constant: str = ""  # why every result is constant or zero, where it is


@dataclass(frozen=True, slots=True)
class Usual:
    """Another formula of an op, which loses more than its row's own."""

    reference: Callable[..., Any]  # as a row's
    why: str  # it is open what is right by this one alone


@dataclass(frozen=True, kw_only=True)
class Row:
    """Everything verify knows of one op; the rows are in verify/registry.

    There is no tolerance here: the bound follows from the reference's own arithmetic
    (verify/reference).
    """

    name: str  # public name in needle ("nn.X", "optim.X", ...), and the name on the command line
    family: str  # elementwise, reduction, matmul, conv, layout, ...
    reference: Callable[..., Any]  # (torch, *tensors, **arguments) -> tensor or tuple of tensors
    samples: Sequence[Sample]  # shapes and arguments worth trying
    # asked of `forward` where work can be captured and replayed, and kernels compute in 16 bits
    captured: Sequence[Sample] = ()
    regions: Sequence[str] = ("tiny", "huge", "zeros", "special", "integer")  # beside "interior"
    domains: Sequence[Domain] = (Domain(),)  # one per input; the last serves the inputs beyond
    layouts: Sequence[str] = LAYOUTS
    result_dtype: str = ""  # of the results, where it is not that of the inputs
    # a case's literals -> the op's keyword arguments
    arguments: Callable[[dict[str, Any]], dict[str, Any]] = dict
    # (what the name stands for, inputs, where, **arguments) -> results, nested or not; where:
    # device and dtype of what is constructed. None: it takes its inputs and arguments as they are.
    call: Callable[..., Any] | None = None
    # arguments that may be results themselves: numbers of the results' dtype
    chosen: Sequence[str] = ()
    # an NDArray operation that writes into its first input: that is its result
    in_place: bool = False
    view: bool = False  # the result may share memory with the inputs
    # (shapes, **arguments) -> whether that of compact inputs must; None: where it does is left open
    shares: Callable[..., bool] | None = None
    # whether an argument may be a list or an array, which its owner may change after the call
    lends: bool = True
    differentiable: bool = True
    twice: bool = True  # whether its gradient has a gradient
    # (*arrays, **arguments) -> distances to kinks, 0 on one; None: smooth
    kinks: Callable[..., Any] | None = None
    jumps: bool = False  # where its kinks are the results jump: no differences are taken there
    # regions whose gradients its document decides, beside those that every op's are asked in
    decided: Sequence[str] = ()
    linear: bool = False
    without_gradient: int = 0  # how many of the last results have none: running statistics
    apart: bool = False  # each result is pulled back by itself: what cancels is rounded first
    signed_zero: bool = True  # whether the sign of a zero result is part of the specification
    constant_result: str = ""  # why the result is constant or zero, where it is
    flops: Callable[..., float] | None = None  # (shapes, **arguments)
    # (shapes, itemsize, **arguments); None: operands and results once
    bytes: Callable[..., float] | None = None
    errors: Sequence[Refusal] = ()
    training: Any = None  # a verify.training.Training, where step and trajectory apply
    # those of sampling.MIXTURES that it refuses whatever the shapes
    mixtures: Sequence[str] = ("dtypes", "devices", "arrays")
    draws: Draws | None = None
    multilinear: bool = False  # linear in each input alone
    # one kernel computes it whole: where results are rounded to 16 bits, they are once
    whole: bool = False
    identities: Sequence[Identity] = ()
    batch: Batch | None = None
    growth: Growth | None = None
    # (case, finding or None) -> why a target need not get it right; empty: it must. None: always
    outside: Callable[..., str] | None = None
    usual: Sequence[Usual] = ()  # asked where a target is somebody else's, and wrong
    # arrays for the inputs, None where one is drawn: what verify.check was given
    given: Sequence[Any] = ()
    cotangents: Sequence[Any] = ()  # of the results, where a saved failure holds them
    # (row, problem, device, dtype) -> a targets.Target; None: needle, by the row's name
    target: Callable[..., Any] | None = None
    # device -> whose elementary functions its results have, where they are not the device's
    accuracy: Mapping[str, str] = field(default_factory=dict)
    place: str = ""  # file:line of a plugin that makes it
