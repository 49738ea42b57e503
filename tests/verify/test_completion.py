"""Completion: the printed scripts are sourced by their shells and asked for words."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from verify import completion, registry
from verify.cli import main, parser


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    asked = " ".join(f"'{w}'" for w in words)
    program = (
        f"{script}\nCOMP_WORDS=(needle-verify {asked})\nCOMP_CWORD={len(words)}\n"
        '_needle_verify\nprintf "%s\\n" "${COMPREPLY[@]}"\ncomplete -p needle-verify >&2\n'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert "_needle_verify needle-verify" in done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["--op", "conv"], ["conv"]),
        (["--op", "relu,log_"], []),
        (["--op", "relu,matm"], ["relu,matmul", "relu,matmul"]),  # op and family
        (["--layer", "Fl"], ["Flatten"]),
        (["--device", "c"], ["cpu", "cuda_sim", "cuda"]),
        (["--device", "cpu,nu"], ["cpu,numpy"]),
        (["--budget", "s"], ["smoke"]),
        (["--chec"], ["--check"]),
        (["--seed", ""], []),
        (["--op", "add", "--lis"], ["--list"]),
    ],
)
def test_bash(capsys: pytest.CaptureFixture[str], words: list[str], offered: list[str]) -> None:
    assert main(["--completion", "bash"]) == 0
    assert set(completed(capsys.readouterr().out, *words)) == set(offered)


def test_every_option_that_takes_names_is_known() -> None:
    words = completion._words(registry)
    named = [a for a in parser()._actions if a.metavar in ("NAME", "NAMES", "B", "SHELL", "URL")]
    assert {a.option_strings[-1] for a in named} == set(words)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_parse_their_script(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    assert "softmax" in script
    assert "cuda_sim" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: the script was printed, not parsed")
    done = subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=False)
    assert done.returncode == 0


def test_an_unknown_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", "tcsh"]) == 2
    assert "known: bash, zsh, fish" in capsys.readouterr().err
