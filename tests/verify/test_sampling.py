"""The numbers of a case come from its id alone, and a layout shows the values it should."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from verify import registry, sampling
from verify.spec import LAYOUTS, Case, Domain, UsageError

CASE = Case("add", "vjp", "cpu", "float32", ((4, 5), (5,)))
ROW = registry.rows()["add"]


def numbers(case: Case) -> list[np.ndarray]:
    return [laid.value for laid in sampling.problem(case, registry.rows()[case.op]).inputs]


def test_the_same_case_has_the_same_numbers_in_any_order() -> None:
    others = [replace(CASE, seed=s) for s in range(3)]
    first = [numbers(c) for c in others]
    again = [numbers(c) for c in reversed(others)][::-1]
    for a, b in zip(first, again, strict=True):
        for x, y in zip(a, b, strict=True):
            assert np.array_equal(x, y)


def test_a_replayed_id_has_the_same_numbers() -> None:
    for x, y in zip(numbers(CASE), numbers(Case.parse(CASE.id)), strict=True):
        assert np.array_equal(x, y)


def test_devices_see_the_same_numbers_and_everything_else_changes_them() -> None:
    base = numbers(CASE)[0]
    assert np.array_equal(base, numbers(replace(CASE, device="cuda"))[0])
    for other in (
        replace(CASE, seed=1),
        replace(CASE, judge="forward"),
        replace(CASE, layout="strided"),
    ):
        assert not np.array_equal(base, numbers(other)[0])


def test_cotangents_are_signed_and_away_from_zero() -> None:
    ct = sampling.cotangent(CASE, 0, (1000,)).value
    assert ct.dtype == np.float32
    assert 300 < np.count_nonzero(ct > 0) < 700
    assert np.min(np.abs(ct)) >= 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 3), (2, 0, 3), (2, 3, 4)])
def test_layouts_show_the_value(layout: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    laid = sampling.lay_out(rng.standard_normal(shape), layout, rng)
    assert np.array_equal(sampling.apply_views(laid.base, laid.views), laid.value)
    assert laid.value.shape == shape
    outside = sampling.gaps(laid)
    assert np.isnan(laid.base[outside]).all()
    if all(kind != "broadcast_to" for kind, _ in laid.views):
        assert laid.base.size - np.count_nonzero(outside) == laid.value.size


def test_layouts_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    value = rng.standard_normal((4, 6))
    strides = {
        name: sampling.apply_views(laid.base, laid.views).strides
        for name in LAYOUTS
        for laid in [sampling.lay_out(value, name, rng)]
    }
    assert strides["compact"] == strides["offset"] == (48, 8)
    offset = sampling.lay_out(value, "offset", rng)
    inside = sampling.apply_views(offset.base, offset.views)
    assert inside.ctypes.data - offset.base.ctypes.data == 48  # a row: of odd ones no vector begins
    assert strides["strided"] == (96, 16)
    assert strides["transposed"] == (8, 32)
    assert strides["reversed"] == (-48, -8)
    assert 0 in strides["broadcast"]


def draw(region: str, domain: Domain | None = None, dtype: str = "float32") -> np.ndarray:
    return sampling.values(np.random.default_rng(3), domain or Domain(), region, (2000,), dtype)


def test_regions_are_what_they_are_called() -> None:
    info = np.finfo(np.float32)
    assert np.all(np.abs(draw("huge")) > 1e13)
    assert np.all(np.abs(draw("tiny")) < 1e-13)
    assert np.all(np.abs(draw("denormal")) < info.smallest_normal)
    assert np.all(draw("denormal") != 0)
    assert len(np.unique(draw("ties"))) <= 6
    zeros = draw("zeros")
    assert np.signbit(zeros[zeros == 0]).any()
    assert not np.signbit(zeros[zeros == 0]).all()
    special = draw("special")
    assert np.isnan(special).any()
    assert np.isposinf(special).any()
    assert np.isneginf(special).any()
    integers = draw("integer")
    assert np.array_equal(integers, np.rint(integers))
    assert np.max(np.abs(draw("edge"))) == info.max
    assert set(draw("whole")) == set(range(-4, 5))
    assert np.all(draw("whole", Domain(low=0)) < 0)


def test_domains_are_kept() -> None:
    for region in ("interior", "tiny", "huge", "ties", "integer", "denormal"):
        assert np.all(draw(region, Domain(low=0)) > 0), region
        apart = draw(region, Domain(nonzero=True))
        assert np.min(apart) < 0 < np.max(apart), region
        assert np.all(apart != 0), region
    apart, above = (np.abs(draw("interior", d)) for d in (Domain(nonzero=True), Domain(low=0)))
    assert np.min(apart) == np.min(above)  # near 0 a quotient is all rounding


def test_an_unknown_region_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="region='nowhere'"):
        draw("nowhere")


# --- real data, with files made here


def write_images(folder: Path, data: bytes) -> None:
    (folder / sampling.IMAGES).write_bytes(gzip.compress(data))


def header(count: int = 3, rows: int = 28, columns: int = 28, magic: int = 0x803) -> bytes:
    return struct.pack(">4I", magic, count, rows, columns)


MNIST = Case("conv", "forward", "cpu", "float32", ((2, 28, 28, 1), (3, 3, 1, 4)), region="mnist")


def test_images_become_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 3 * 28 * 28, np.uint8)
    write_images(tmp_path, header() + pixels.tobytes())
    monkeypatch.setenv(sampling.DATA_VARIABLE, str(tmp_path))
    x = numbers(MNIST)[0]
    images = (pixels.reshape(3, 28, 28, 1) / 255.0).astype(np.float32)
    assert all(any(np.array_equal(given, image) for image in images) for given in x)
    assert any(
        c.region == "mnist"
        for c in registry.plan_cases(registry.rows()["conv"], "cpu", "float32", "vjp", 0)
    )


def test_without_a_folder_nothing_is_planned_and_a_replay_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(sampling.DATA_VARIABLE, raising=False)
    planned = registry.plan_cases(registry.rows()["conv"], "cpu", "float32", "vjp", 0)
    assert not any(c.region == "mnist" for c in planned)
    with pytest.raises(UsageError, match="--data DIR"):
        numbers(MNIST)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "idx header has 16 bytes, got 0"),
        (header(magic=0x801) + bytes(3 * 784), "0x00000801"),
        (header() + bytes(100), "need 2368 bytes, got 116"),
        (header(rows=27) + bytes(3 * 27 * 28), "images of shape"),
    ],
)
def test_malformed_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    write_images(tmp_path, data)
    monkeypatch.setenv(sampling.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match=message):
        numbers(MNIST)


def test_absent_and_unreadable_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sampling.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match="holds no t10k-images"):
        numbers(MNIST)
    (tmp_path / sampling.IMAGES).write_bytes(b"not gzip")
    with pytest.raises(UsageError, match="not a readable gzip file"):
        numbers(MNIST)
