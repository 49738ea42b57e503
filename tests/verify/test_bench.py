"""needle-verify bench: what it times, what it refuses, what an interrupt leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import needle as ndl
from verify import registry
from verify.bench import families, limits
from verify.bench.definitions import Pair
from verify.bench.place import PLACE
from verify.cli import main
from verify.gate import speed

pytestmark = pytest.mark.timeout(120)
QUICK = ["--dtype", "float32", "--threads", "1", "--rounds", "2", "--target", "1e-6"]


FLAT = {"float32": 1e9, "copy": 1e9, "copy 16 KiB": 2e9, "copy 1 MiB": 5e8, "read 1 MiB": 4e8}


def spin(n: int) -> Any:
    return lambda: sum(range(n))


def even(dtype: str) -> Iterator[Pair]:
    for n in (1, 2):
        yield Pair(
            "even", f"even {n}", dtype, spin(1000), {"": spin(1000)}, flops=n * 1e3, bytes=1e3
        )


def slow(dtype: str) -> Iterator[Pair]:
    yield Pair("slow", "slow", dtype, spin(20000), {"NCHW": spin(200), "NHWC": spin(2000)})


def broken(dtype: str) -> Iterator[Pair]:
    yield Pair("broken", "broken once", dtype, lambda: 1 / 0, {"": spin(1)})
    raise ValueError("no inputs")


def stopped(dtype: str) -> Iterator[Pair]:
    raise KeyboardInterrupt
    yield


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {f.__name__: {f.__name__: f} for f in (even, slow, stopped, broken)}
    monkeypatch.setattr(families, "FAMILIES", made)
    monkeypatch.setattr(PLACE, "name", "cpu")
    monkeypatch.setattr(limits, "cpu", lambda threads: FLAT)


def bench(*arguments: str) -> int:
    return main(["bench", *QUICK, *arguments])


def test_rows_hold_every_round_and_the_gate_reads_them(tmp_path: Path, capsys: Any) -> None:
    path, page = tmp_path / "s.json", tmp_path / "s.md"
    assert bench("--op", "even,slow", "--json", str(path), "--markdown", str(page)) == 0
    data = json.loads(path.read_text())
    assert [(r["op"], r["name"]) for r in data["rows"]] == [
        ("even", "even 1"), ("even", "even 2"), ("slow", "slow"),
    ]  # fmt: skip
    assert all(len(r["ratios"]) == 2 for r in data["rows"])
    assert data["rows"][2]["torch_layout"] == "NCHW"  # the fastest counts
    assert set(speed.read(path).rows) == {f"1 thread(s) float32 {r['name']}" for r in data["rows"]}
    assert data["limits"] == {"1 thread(s)": FLAT}
    for n, row in enumerate(data["rows"][:2], 1):
        assert (row["flops"], row["bytes"], row["limit"]) == (n * 1e3, 1e3, "float32")
        assert row["share_of_limit"] == pytest.approx(n * 1e3 / 1e9 / (row["needle_us"] * 1e-6))
    assert "limit" not in data["rows"][2], "no work is known"
    assert "| slow | float32 | 1 |" in page.read_text()
    assert "% | float32 |" in page.read_text()
    assert "- limits, 1 thread(s): 1 GFLOP/s in float32, 1 GB/s copy" in page.read_text()
    assert "even 2" in capsys.readouterr().out


def test_a_ratio_below_the_least_is_exit_4(capsys: Any) -> None:
    assert bench("--op", "slow", "--least", "0.9") == 4
    assert "[least] slower than 0.9 x torch" in capsys.readouterr().err
    assert bench("--op", "slow", "--least", "0.0001") == 0


def test_an_interrupt_keeps_what_was_timed(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "s.json"
    assert bench("--op", "even,stopped", "--json", str(path)) == 3
    data = json.loads(path.read_text())
    assert len(data["rows"]) == 2
    assert "interrupted: 2 rows were timed" in capsys.readouterr().err


def test_what_cannot_be_timed_costs_the_others_nothing(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "s.json"
    assert bench("--op", "broken,even", "--json", str(path)) == 1
    data = json.loads(path.read_text())
    assert len(data["rows"]) == 2
    assert [text.partition(":")[0] for text in data["failed"]] == [
        "broken once float32", "broken float32",
    ]  # fmt: skip
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_time_is_up(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "s.json"
    assert bench("--op", "even,slow", "--seconds", "1e-5", "--json", str(path)) == 3
    assert json.loads(path.read_text())["not_reached"][-1] == "slow float32"
    assert "time is up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--op", "evn"], "did you mean even?"),
        (["--op", ","], "[op] a name or several"),
        (["--family", "none"], "unknown family"),
        (["--device", "tpu"], "unknown device"),
        (["--dtype", "float31"], "unknown dtype"),
        (["--dtype", "bfloat16"], "16 bits are computed on cuda alone"),
        (["--threads", "0"], "[threads] at least one"),
        (["--rounds", "1"], "[rounds] at least 2"),
        (["--seconds", "0"], "[seconds]"),
        (["--target", "nan"], "[target]"),
        (["--json", "/no/such/folder/x"], "[json] cannot write"),
    ],
)
def test_what_it_refuses(arguments: list[str], says: str, capsys: Any) -> None:
    assert bench("--op", "even", *arguments) == 2
    assert says in capsys.readouterr().err


def test_an_absent_device_is_exit_2(capsys: Any) -> None:
    import needle

    if needle.cuda().enabled():
        pytest.skip("this machine has a GPU")
    assert bench("--op", "even", "--device", "cuda") == 2
    assert "[device] cuda cannot be used here" in capsys.readouterr().err


def test_ops_are_those_that_verify_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    known = registry.rows()
    ops = {op for found in families.FAMILIES.values() for op in found}
    assert ops <= known.keys()
    assert {"conv", "matmul", "exp", "softmax", "nn.LSTMCell", "models.ResNet9"} <= ops
    assert families.select(["conv"]) == [("convolution", "conv")]
    assert {op for _, op in families.select(["models.*"])} == {
        "models.ResNet9", "models.LanguageModel",
    }  # fmt: skip


def test_every_pair_is_of_the_op_it_is_listed_under(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(PLACE, "large", False)
    for family, op in families.select(families=["operations", "convolution", "softmax"]):
        made = list(families.FAMILIES[family][op]("float32"))
        assert made, op
        assert {pair.op for pair in made} == {op}


def test_every_pair_says_what_work_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(PLACE, "large", False)
    small = [f for f in families.FAMILIES if f not in ("softmax", "optimizers")]  # large arrays
    for family, op in families.select(families=small):
        for pair in families.FAMILIES[family][op]("float32"):
            assert pair.bytes > 0, pair.name
            assert pair.flops > 0 or family == "operations", pair.name
            assert pair.moves in ("copy", "read")


def test_torch_counts_the_products_of_a_recurrent_step(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from verify.bench.training import products

    lstm, x = torch.nn.LSTM(8, 16), torch.ones(5, 3, 8)
    forward = 5 * 2 * 3 * 4 * 16 * (8 + 16)
    counted = products(lstm, lambda: lstm(x)[0].sum())
    assert 2 * forward < counted <= 3 * forward  # the first step's input and state need none
    assert all(p.grad is None for p in lstm.parameters())


def test_a_row_is_held_against_the_limit_that_binds_it() -> None:
    found = [
        limits.applied(FLAT, "float32", flops, moved, moves)
        for flops, moved, moves in (
            (1e6, 1e3, "copy"), (10, 1e3, "copy"), (0, 1e6, "copy"), (0, 1e6, "read"),
            (0, 1e9, "copy"),
        )
    ]  # fmt: skip
    assert found == [
        (1e-3, "float32"), (5e-7, "copy 16 KiB"), (2e-3, "copy 1 MiB"), (2.5e-3, "read 1 MiB"),
        (1, "copy"),
    ]  # fmt: skip


def test_limits_of_this_processor_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(limits, "SIZES", (1 << 14, 1 << 20))
    monkeypatch.setattr(limits, "TURN", 1e-4)
    before = ndl.get_num_threads()
    found = limits.cpu(2)
    assert ndl.get_num_threads() == before
    sizes = {f"{moves}{size}" for moves in ("copy", "read") for size in ("", " 16 KiB", " 1 MiB")}
    assert found.keys() == sizes | {"float32", "float64"}
    assert all(0 < value < 1e15 for value in found.values())


def test_what_is_moved_is_as_it_was_and_what_does_not_fit_is_refused() -> None:
    def array(n: int, value: float = 0.0, dtype: str = "float32") -> Any:
        return ndl.backend_ndarray.full((n,), value, dtype=dtype, device=ndl.cpu())

    work, move = ndl._core.limit_multiply_adds, ndl._core.limit_move
    assert work("float32", 3) == 3 * work("float32", 1) == 6 * work("float64", 1)
    for past in (False, True):
        for size in (128, 128 * 37):
            source, target = array(size, 2.0), array(size)
            move(target, source, 2, past)
            move(None, source, 1)
            assert (target.numpy() == 2).all()
    for target, source in (
        (array(256), array(128)),
        (None, array(100)),
        (None, array(128, dtype="float64")),
        (None, array(256)[::2]),
        (None, array(257)[1:]),
        (array(128).broadcast_to((2, 128)).reshape((256,)).permute((0,)), array(128)),
    ):
        with pytest.raises(ValueError, match=r"\[limits\]"):
            move(target, source, 1)
    with pytest.raises(TypeError, match=r"\[limits\] float32 or float64 is computed"):
        work("int32", 1)
