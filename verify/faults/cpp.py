"""C++ text as the rules for native faults see it: what is compiled, and in which function.

No parser: the sources are formatted by clang-format, so that a binary operator has a space on each
side and a template's bracket has not.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

# What the preprocessor finds defined in the build with faults (x86-64 from v3 on, no nvcc).
_DEFINED = {"__x86_64__", "__AVX__", "__AVX2__", "__FMA__", "__FP_FAST_FMA", "__FP_FAST_FMAF"}
_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)+\'', re.DOTALL | re.MULTILINE
)
_ATTRIBUTES = re.compile(r"__attribute__\(\(.*?\)\)|__launch_bounds__\([^)]*\)", re.DOTALL)
_SCOPE = re.compile(r"\b(namespace|struct|class|enum|union)\b(?:\s+alignas\([^)]*\))?\s*([\w:]*)")


def blank(text: str) -> str:
    """The text with spaces for comments, literals, directives and what is not compiled."""
    text = _NOISE.sub(lambda m: _spaces(m.group()), text)
    lines = text.split("\n")
    active = [True]  # by nesting: is this branch compiled?
    taken = [True]  # was some branch of it?
    continued = False
    for i, line in enumerate(lines):
        directive = line.lstrip().startswith("#") and not continued
        if directive:
            word, _, rest = line.lstrip()[1:].strip().partition(" ")
            if word in ("if", "ifdef", "ifndef"):
                holds = _holds(rest) != (word == "ifndef")
                active.append(holds)
                taken.append(holds)
            elif word in ("elif", "else"):
                active[-1] = not taken[-1] and (word == "else" or _holds(rest))
                taken[-1] |= active[-1]
            elif word == "endif":
                active.pop()
                taken.pop()
        if directive or continued or not all(active):
            lines[i] = " " * len(line)
        continued = (directive or continued) and line.endswith("\\")
    return "\n".join(lines)


def _spaces(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _holds(condition: str) -> bool:
    """Whether a condition made of defined(NAME) and && or || holds."""
    groups = [re.findall(r"\w+", part) for part in condition.split("||")]
    return any({n for n in names if n != "defined"} <= _DEFINED for names in groups)


_VALUE = re.compile(r"(?<=\w)\{([\w.]*)\}")  # T{}, std::int64_t{1}


@dataclass(frozen=True, slots=True)
class Function:
    """A function's body, with its braces, and what stands before it."""

    name: str
    head: str
    start: int
    end: int


def functions(blanked: str) -> list[Function]:
    """Functions with a body outside of others; lambdas belong to the function that they are in."""
    found: list[Function] = []
    open_scopes: list[tuple[str, int, str, str]] = []  # what, where, name, head
    begin = 0  # of the text before the next brace
    for at, character in enumerate(blanked):
        if character == ";" and not _inside_function(open_scopes):
            begin = at + 1
        elif character == "{":
            head = _ATTRIBUTES.sub("", blanked[begin:at])
            what, name = _kind(head) if not _inside_function(open_scopes) else ("block", "")
            open_scopes.append((what, at, name, head))
            if what != "function":
                begin = at + 1
        elif character == "}" and open_scopes:
            what, start, name, head = open_scopes.pop()
            if what == "function":
                classes = [n for w, _, n, _ in open_scopes if w == "class" and n]
                found.append(Function("::".join([*classes, name]), head, start, at + 1))
            begin = at + 1
    return found


def _inside_function(scopes: list[tuple[str, int, str, str]]) -> bool:
    return any(what == "function" for what, *_ in scopes)


def _kind(head: str) -> tuple[str, str]:
    """What a brace outside of functions opens, and its name."""
    plain = re.sub(r"template <.*?>\s*(?=\w)", "", head, flags=re.DOTALL)
    call = re.search(r"([~\w:]+|operator\S+)\s*\(", plain)
    scope = _SCOPE.search(plain)
    if scope and not (call and call.start() < scope.start()):
        return ("namespace" if scope.group(1) == "namespace" else "class"), scope.group(2)
    if call and "=" not in plain[: call.start()].replace("operator", ""):
        return "function", call.group(1)
    return "block", ""


class Source:
    """A file, the part of it that is code, and its functions."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.code = blank(text)
        self.functions = functions(self.code)

    def function_at(self, at: int) -> Function | None:
        """The function that a place is in."""
        return next((f for f in self.functions if f.start < at < f.end), None)

    def statement(self, at: int) -> str:
        """The text between the braces and semicolons around a place."""
        code = self._statements
        start = max(code.rfind(c, 0, at) for c in ";{}") + 1
        end = min((i for c in ";{}" if (i := code.find(c, at)) >= 0), default=len(code))
        return self.text[start:end]

    @functools.cached_property
    def _statements(self) -> str:
        """The code, a value in braces like one in parentheses: it ends no statement."""
        return _VALUE.sub(r"(\1)", self.code)
