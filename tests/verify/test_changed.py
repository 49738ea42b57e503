"""Which ops a changed file concerns."""

from __future__ import annotations

from types import ModuleType

import pytest

from verify import registry
from verify.changed import EVERYTHING, ops_of
from verify.cli import main

NAMES = tuple(registry.rows())


@pytest.mark.parametrize(
    "file",
    ["needle/ops/convolution.py", "/somewhere/needle/needle/ops/convolution.py"],
)
def test_a_file_of_ops_concerns_them(file: str) -> None:
    assert set(ops_of([file], NAMES)) == {"conv", "ConvInputGrad", "ConvWeightGrad"}


def test_a_layer_an_optimizer_a_row() -> None:
    assert ops_of(["needle/nn/conv.py"], NAMES) == ("nn.Conv",)
    found = ops_of(["needle/optim/adam.py", "verify/registry/conv.py"], NAMES)
    assert set(found) == {"optim.Adam", "optim.AdamW", "optim.RMSprop", "conv"}


@pytest.mark.parametrize(
    "file",
    [
        "needle/autograd/tensor.py",
        "needle/backend_ndarray/checks.py",
        "csrc/core/ops.def",
        "verify/reference/rules.py",
        "verify/registry/planning.py",
        "verify/registry/deleted.py",
    ],
)
def test_what_others_rest_on_concerns_everything(file: str) -> None:
    assert ops_of(["needle/ops/convolution.py", file], NAMES) == (EVERYTHING,)


def test_other_files_concern_nothing() -> None:
    assert ops_of(["README.md", "tests/verify/test_cli.py", "needle"], NAMES) == ()


def test_the_command_line(fake: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--changed", "needle/ops/convolution.py", "--budget", "smoke"]) == 0
    listed = {line.split("/")[0] for line in capsys.readouterr().out.split()}
    assert listed == {"conv", "ConvInputGrad", "ConvWeightGrad"}
    assert main(["--changed", "verify/spec.py", "--check", "fd", "--list"], fake.parts()) == 0
    assert "segfault/fd/" in capsys.readouterr().out
    assert main(["--changed", "README.md"], fake.parts()) == 2
    assert "[changed] no verdict depends on these files, got README.md" in capsys.readouterr().err
