"""Shell completion: a script for bash, zsh or fish from the parser's options and the registry."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from verify.plan import DEVICES, Registry
from verify.selecting import KINDS
from verify.spec import BUDGETS, DTYPES, JUDGES, LAYOUTS

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "needle-verify"


def script(shell: str, parser: argparse.ArgumentParser, registry: Registry) -> str:
    """What the user's shell sources: `source <(needle-verify --completion bash)`."""
    words = _words(registry)
    options = [a for a in parser._actions if a.option_strings]
    if shell == "fish":
        return _fish(options, words)
    bash = _bash(options, words)
    # zsh runs scripts of bash's completion
    return bash if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{bash}"


def _words(registry: Registry) -> dict[str, list[str]]:
    """The values that an option takes, several of them between commas but for the budget's."""
    rows = registry.rows()
    return {
        "--op": [*rows, *sorted({row.family for row in rows.values()} - rows.keys())],
        **{
            f"--{kind}": [n.removeprefix(prefix) for n in rows if n.startswith(prefix)]
            for kind, prefix in KINDS.items()
        },
        "--device": [*DEVICES, "all"],
        "--dtype": list(DTYPES),
        "--check": list(JUDGES),
        "--layout": list(LAYOUTS),
        "--budget": list(BUDGETS),
        "--executor": ["dask://local"],
        "--completion": list(SHELLS),
    }


def _takes_a_path(option: argparse.Action) -> bool:
    return option.metavar in ("FILE", "DIR", "ID|FILE")


def _bash(options: Iterable[argparse.Action], words: dict[str, list[str]]) -> str:
    options = list(options)
    names = " ".join(name for option in options for name in option.option_strings)
    paths = "|".join(n for o in options if _takes_a_path(o) for n in o.option_strings)
    plain = "|".join(
        name
        for option in options
        for name in option.option_strings
        if option.nargs != 0 and name not in words and not _takes_a_path(option)
    )
    cases = "\n".join(
        f'    {option}) values="{" ".join(values)}" ;;' for option, values in words.items()
    )
    return f"""\
_needle_verify() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" values="" head=""
  COMPREPLY=()
  case "$prev" in
{cases}
    {paths}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    {plain}) return ;;
    *) COMPREPLY=($(compgen -W "{names}" -- "$cur")); return ;;
  esac
  if [[ "$cur" == *,* ]]; then head="${{cur%,*}},"; fi  # the last of several names
  COMPREPLY=($(compgen -P "$head" -W "$values" -- "${{cur##*,}}"))
}}
complete -F _needle_verify {PROGRAM}
"""


def _fish(options: Iterable[argparse.Action], words: dict[str, list[str]]) -> str:
    lines = [f"complete -c {PROGRAM} -f"]
    for option in options:
        flags = " ".join(
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
            for name in option.option_strings
        )
        text = (option.help or "").replace("\\", "\\\\").replace("'", "\\'").replace("%%", "%")
        values = words.get(option.option_strings[-1])
        if values:
            flags += f" -x -a '{' '.join(values)}'"
        elif _takes_a_path(option):
            flags += " -r -F"
        elif option.nargs != 0:
            flags += " -x"
        lines.append(f"complete -c {PROGRAM} {flags} -d '{text}'")
    return "\n".join(lines) + "\n"
