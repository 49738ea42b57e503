"""Rules that find places for faults in C++ sources, from the text alone.

A fault is a few edits, most of them insertions at a token, so that no expression is parsed. In an
edit's text for the compiler `@` stands for the fault's switch, 0 or 1 (verify/faults/switch).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from verify.faults.cpp import Function
from verify.faults.native_scope import RULED, Change, Edit, Source

# How work is cut into pieces, and which way is taken for how much of it: results are the same.
_TUNING = re.compile(
    r"\bworth\b|rows_collide|\bmost\b|parts|kPartElements|kFewTasks|kLongRun|kParallel|kDepth|"
    r"kBlockColumns|kStretch|kBand|kBlock\b|kStream|\bband\b|\bstretch\b|\bblock\b < |scratch|"
    r"\bcost\b|omp_|\bstreamed\b|kBusy|kSlice|limit|kNarrow|"
    r"\bbusy\b|plan\.rows|operator new|depth \+= segments|pixels = g\.batch \* g\.result"
)
_OPERAND = r"(?:[\w.]|->|::|\[[^][\n]*\]|<[\w:, ]+>)+(?:\((?:[^()\n]|\([^()\n]*\))*\))?"
_STRIDE = re.compile(
    r"\w*(?:stride|step|pitch|apart|along|_axis|channels|width|outputs|source_tap)"
)


def changes(path: str, text: str) -> list[Change]:
    """What the rules find in one file, from above: of a kind one place in each function."""
    if path not in RULED:
        return []
    source = Source(path, text)
    groups: dict[tuple[int, str], list[Change]] = {}
    for rule in RULES:
        for change in rule(source):
            function = source.function_at(change.start)
            key = (function.start if function else 0, change.kind)
            groups.setdefault(key, []).append(change)
    chosen = [sorted(group, key=_place)[len(group) // 2] for group in groups.values()]
    return sorted(chosen, key=_place)


def _place(change: Change) -> tuple[int, str]:
    return change.start, change.kind


def _insert(at: int, text: str) -> Edit:
    return Edit(at, at, text)


_LOOP = re.compile(
    r"for \((?P<first>[^;{}]*);\s*(?P<name>[\w.]+) < (?P<bound>[^;{}&|<>]+(?:<T>)?);"
)
_STEP = re.compile(r"\s*(?P<name>[\w.]+) \+= (?P<by>[\w.<>]+(?:\([^()]*\))?)[,)]")
_START = re.compile(r"\w (?P<name>\w+) = (?P<zero>0)$")
# Bounds that only unroll, or that run over axes, which have room for more.
_FIXED = re.compile(r"(?:\bk[A-Z]\w*(?:<\w+>)?|\b[A-Z]\b|lanes<\w+>|\d+|width|[\s*/+\-()])+")
_AXES = re.compile(
    r"ndim|n_kept|n_reduced|size\(\)|dims|\bkept\b|\bouter\b|\binner\b|levels|sizeof"
)


def loops(source: Source) -> Iterator[Change]:
    """Loops over blocks without the last; others that end early, go on too far, or start late."""
    turns: Counter[int] = Counter()
    for match in _LOOP.finditer(source.code):
        at, end = match.span("bound")
        function = source.open_to(at)
        bound = match["bound"]
        if function is None or _is_fixed(source, function, bound):
            continue
        if "#pragma GCC" in source.text[: match.start()].rsplit("\n", 2)[-2]:
            continue  # unrolled: a switch there would keep sums out of registers
        if _TUNING.search(source.statement(match.end())):
            continue
        step = _STEP.match(source.code[match.end() :])
        if step and step["name"] == match["name"]:
            tail = f" - @ * ({step['by']})"
            switched = (_insert(at, "("), _insert(end, f"){tail}"))
            yield Change(function.name, "tail", switched, (_insert(end, f" - {step['by']}"),))
            continue
        axes = _AXES.search(bound)
        start = _START.search(match["first"])
        turn = 0 if axes else turns[function.start] % 3
        turns[function.start] += 1
        if turn == 2 and start and start["name"] == match["name"]:
            zero = match.start("first") + start.start("zero")
            edit = (Edit(zero, zero + 1, "@"),), (Edit(zero, zero + 1, "1"),)
            yield Change(function.name, "unwritten", *edit)
            continue
        kind, sign = ("outside", "+") if turn == 1 else ("off-by-one", "-")
        left, right = ("(", ")") if re.search(r"[ ?]", bound) else ("", "")
        yield Change(
            function.name,
            kind,
            (_insert(at, "("), _insert(end, f" {sign} @)")),
            (_insert(at, left), _insert(end, f"{right} {sign} 1")),
        )


def _is_fixed(source: Source, function: Function, bound: str) -> bool:
    body = source.code[function.start : function.end]
    template = re.search(r"template <(.*?)>\s", function.head, re.DOTALL)
    constants = {
        *re.findall(r"constexpr [\w:<>]+ (\w+)", body),
        *re.findall(r"int (\w+)", template[1] if template else ""),
    }
    rest = re.sub(r"\w+", lambda m: "" if m.group() in constants else m.group(), bound)
    return bool(_FIXED.fullmatch(rest)) or not rest.strip()


# Whole sides of a comparison: what stands around them binds less.
_COMPARED = re.compile(
    r"(?:(?<=\()|(?<=[,?:=&|] )|(?<=rn ))"
    rf"(?P<left>{_OPERAND}) (?P<sign><=|>=|<|>) (?P<right>-?{_OPERAND})"
    r"(?=[),;]| [?&|])"
)
# Sides that are never equal, or with which both ways lead to the same.
_EQUAL_IS_SAME = re.compile(
    r"size\(\) >|\btap > 0|\bb < 0|strides\[i\] < 0|\bv > 0|\bat < 0|length > unit|blockDim|"
    r"lanes<T>|> most|\*low < 0|rows < 4|mine\.bytes|kernel_width > 1|innermost\(|outputs > 0|"
    r"size > plan|mask\[i\]"
)
_OTHER = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


def comparisons(source: Source) -> Iterator[Change]:
    """A comparison that holds for equal sides where it did not, or the reverse."""
    for match in _COMPARED.finditer(source.code):
        start, end = match.span()
        function = source.open_to(start)
        if function is None or _in_loop_header(source, start) or _TUNING.search(match.group()):
            continue
        if _EQUAL_IS_SAME.search(match.group()):
            continue
        if _same_when_equal(match["left"], match["right"], source.code[end : end + 80]):
            continue
        other = _OTHER[match["sign"]]
        changed = f"{match['left']} {other} {match['right']}"
        yield Change(
            function.name,
            "comparison",
            (_insert(start, f"(@ ? {changed} : "), _insert(end, ")")),
            (Edit(*match.span("sign"), other),),
        )


def _same_when_equal(left: str, right: str, rest: str) -> bool:
    """Whether what is chosen is the same where both sides are equal: a minimum, a size."""
    a, b = re.escape(left), re.escape(right)
    chosen = rf"(?:{b} : {a}|{a} : {b}|-{a} : {a})(?!\w)|\) (?:{a} = {b}|{b} = {a});"
    return bool(re.match(rf"\)? \? (?:{chosen})|{chosen}", rest))


def _in_loop_header(source: Source, at: int) -> bool:
    start = source.code.rfind("for (", 0, at)
    if start < 0:
        return False
    depth = 0
    for character in source.code[start:at]:
        depth += (character == "(") - (character == ")")
        if depth == 0 and character == ")":
            return False
    return True


_TERM = re.compile(r"(?<=[\w)\]]) (?P<sign>[+-])\s+(?=[\w(*:])")
_FACTOR = re.compile(r"(?<=[\w)\]]) \*\s+(?=[\w(])")


def terms(source: Source) -> Iterator[Change]:
    """A sum that subtracts, a difference that keeps its first operand, a 1 left out."""
    for match in _TERM.finditer(source.code):
        at = match.end()
        function = source.open_to(at)
        if function is None or _balances(source, at):
            continue
        if match["sign"] == "+" and not source.code[at].isdigit():
            sign = Edit(*match.span("sign"), "-")
            switched = (_insert(at, "fault_minus(@) * "),)
            yield Change(function.name, "sign", switched, (sign,))
        else:
            kind = "constant" if source.code[at].isdigit() else "dropped"
            switched = (_insert(at, "fault_zero(@) * "),)
            yield Change(function.name, kind, switched, (_insert(at, "0 * "),))


def _balances(source: Source, at: int) -> bool:
    """Whether a place rounds up, is no value, or is part of how work is cut into pieces."""
    start = source.code.rfind("\n", 0, at) + 1
    line = source.code[start : source.code.find("\n", at)]
    if _in_loop_header(source, at) or "- 1) / " in line:
        return True
    # an argument of a template, the size of an array
    if re.search(r"<[\w, ]+ [+*-] $|(?:\)|\bT \w+)\[\w+ [+*-] $", source.code[start:at]):
        return True
    return bool(_TUNING.search(source.statement(at)))


def factors(source: Source) -> Iterator[Change]:
    """A stride that is twice as long, another factor left out."""
    for match in _FACTOR.finditer(source.code):
        at = match.end()
        function = source.open_to(at)
        operand = re.match(_OPERAND, source.code[at:])
        if function is None or _balances(source, at) or operand is None:
            continue
        if operand.group() == "sizeof":
            continue
        name = operand.group()
        if _STRIDE.match(name.replace("->", ".").rpartition(".")[2]) or "stride" in name:
            switched, plain = _insert(at, "fault_twice(@) * "), _insert(at, "2 * ")
            yield Change(function.name, "stride", (switched,), (plain,))
        else:
            plain = Edit(match.start(), at + len(name), "")
            yield Change(function.name, "dropped", (_insert(at, "fault_unit(@) * "),), (plain,))


_STATEMENT = re.compile(
    r"(?<=[;{})])\s+(?P<what>(?:\+\+|--)[\w.>\-\[\]]+|"
    r"\*?[\w.:]+(?:->\w+|\[[^;{}=]*\])*(?:\.\w+)* (?:=|\+=|-=|\*=|/=|%=|\|=) [^;{}]+|"
    r"[\w:.]+(?:->\w+|<[\w, ]+>)*\((?:[^;{}])*\));"
)


def statements(source: Source) -> Iterator[Change]:
    """A statement left out."""
    for match in _STATEMENT.finditer(source.code):
        at, end = match.span("what")
        function = source.open_to(at)
        what = match["what"]
        if function is None or what.count("(") != what.count(")") or _in_loop_header(source, at):
            continue
        if re.match(r"return|stream_fence|needle::collapse|check\(|using|break|continue", what):
            continue
        if re.match(r";\s+else\b", source.code[end:]):
            continue  # the else would belong to the switch
        kind = "barrier" if "__syncthreads" in what else "dropped"
        if re.match(r"store|stream\b|put", what):
            kind = "unwritten"
        yield Change(
            function.name, kind, (_insert(at, "if (!@) "),), (Edit(at, end, "/* left out */"),)
        )


_GUARD = re.compile(
    r"\bif \((?P<what>(?:[^(){};]|\((?:[^(){};]|\([^(){};]*\))*\))+)\)\s+"
    r"(?:return|continue|break)\b"
)


def guards(source: Source) -> Iterator[Change]:
    """A special case that is not seen."""
    for match in _GUARD.finditer(source.code):
        at, end = match.span("what")
        function = source.open_to(at)
        if function is None or _TUNING.search(match["what"]):
            continue
        switched = (_insert(at, "!@ && ("), _insert(end, ")"))
        yield Change(function.name, "dropped", switched, (Edit(at, end, "false"),))


_AXIS = re.compile(r"\b(?:shape|strides|stride|padding|dilation)\[(?P<axis>[0-3])\]")
_OF = re.compile(r"\bat\.of\[(?P<axis>[0-3])\]")


def axes(source: Source) -> Iterator[Change]:
    """The neighbouring axis, or the neighbouring array."""
    for pattern, kind in ((_AXIS, "axis"), (_OF, "swapped")):
        for match in pattern.finditer(source.code):
            function = source.open_to(match.start())
            if function is None or function.name == "map_strided":
                continue
            span, axis = match.span("axis"), int(match["axis"])
            plain = (Edit(*span, str(axis ^ 1)),)
            yield Change(function.name, kind, (Edit(*span, f"{axis} ^ @"),), plain)


_LITERAL = re.compile(r"constant<V>\((?P<value>-?[0-9.]+)\)")
_LIMIT = 100  # constants from here on are limits beyond which nothing changes
_FUSED = re.compile(r"\bfma\((?=\w)")
_POLYNOMIAL = re.compile(
    r"\bhorner\(\w+,\s+(?P<first>-?[\d.e+\-]+),(?:[^()]*),\s+(?P<last>-?[\d.e+\-]+)\)"
)


def formulas(source: Source) -> Iterator[Change]:
    """Constants, products and polynomials of elementary functions."""
    for pattern, part, kind, switched, plain in (
        (_LITERAL, "value", "constant", "(1 + 0.001 * @) * ", "1.001 * "),
        (_FUSED, 0, "sign", "fault_minus(@) * ", "-"),
        (_POLYNOMIAL, "first", "sign", "(1 - 2 * @) * ", "-"),
        (_POLYNOMIAL, "last", "precision", "(1 - @) * ", "0 * "),
    ):
        for match in pattern.finditer(source.code):
            at = match.end() if part == 0 else match.start(part)
            function = source.open_to(at)
            if function is None:
                continue
            if kind == "constant" and not 0 < abs(float(match["value"])) < _LIMIT:
                continue
            yield Change(function.name, kind, (_insert(at, switched),), (_insert(at, plain),))


RULES = (loops, comparisons, terms, factors, statements, guards, axes, formulas)
