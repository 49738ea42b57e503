"""safetensors: round trips, the reference package both ways, malformed files, whole writes."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import needle as ndl
import needle.backend_ndarray as nd

# fmt: off
DTYPES = [
    "float64", "float32", "float16", ml_dtypes.bfloat16, "int64", "int32", "int16", "int8",
    "uint64", "uint32", "uint16", "uint8", "bool",
]
# fmt: on
SHAPES = [(), (1,), (3, 4), (0,), (2, 0, 3), (5,)]


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        f"{np.dtype(dtype).name} {shape}": np.asarray(rng.integers(0, 2, shape)).astype(dtype)
        for dtype in DTYPES
        for shape in SHAPES
    }


def assert_same(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert got.keys() == want.keys()
    for name, a in want.items():
        assert (got[name].dtype, got[name].shape) == (a.dtype, a.shape)
        assert got[name].tobytes() == a.tobytes()


def test_round_trip(tmp_path: Path) -> None:
    ndl.save(tmp_path / "f", arrays(), {"step": "3", "ü": ""})
    assert_same(ndl.load(tmp_path / "f"), arrays())
    assert ndl.load_metadata(str(tmp_path / "f")) == {"step": "3", "ü": ""}
    ndl.save(tmp_path / "empty", {})
    assert ndl.load(tmp_path / "empty") == {}
    assert ndl.load_metadata(tmp_path / "empty") == {}


def test_every_layout_and_kind_of_array(device: nd.BackendDevice, tmp_path: Path) -> None:
    a = np.arange(24, dtype="float32").reshape(2, 3, 4)
    held = nd.array(a, device=device)
    state = {
        "transposed": a.T,
        "strided": a[:, ::-1, ::2],
        "broadcast": np.broadcast_to(a[:1], (5, 3, 4)),
        "big-endian": a.astype(">f4"),
        "ndarray": held.permute((2, 0, 1))[1:],
        "tensor": ndl.Tensor(held, requires_grad=True),
        "bfloat16": held.astype("bfloat16"),
        "list": [[1, 2], [3, 4]],
    }
    ndl.save(tmp_path / "f", state)
    got = ndl.load(tmp_path / "f")
    for name, value in state.items():
        np.testing.assert_array_equal(got[name], np.asarray(value))
        assert got[name].dtype.isnative
        assert got[name].flags.writeable


def test_the_reference_package_reads_what_we_write_and_the_reverse(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    known = {n: a for n, a in arrays().items() if not n.startswith("bfloat16")}
    ndl.save(tmp_path / "ours", arrays(), {"k": "v"})
    ours = reference.load_file(tmp_path / "ours")
    assert_same({n: ours[n] for n in known}, known)
    bfloat16 = {n: a for n, a in ours.items() if n.startswith("bfloat16")}
    assert {n: a.shape for n, a in bfloat16.items()} == {
        n: a.shape for n, a in arrays().items() if n not in known
    }
    reference.save_file(known, tmp_path / "theirs", {"k": "v"})
    assert_same(ndl.load(tmp_path / "theirs"), known)
    assert ndl.load_metadata(tmp_path / "theirs") == {"k": "v"}
    with pytest.importorskip("safetensors").safe_open(tmp_path / "ours", "np") as file:
        assert file.metadata() == {"k": "v"}


def test_elements_are_aligned(tmp_path: Path) -> None:
    ndl.save(tmp_path / "f", {"a": np.ones(3, "int8"), "b": np.ones(2), "c": np.ones(1, "int16")})
    data = (tmp_path / "f").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert list(header) == ["b", "c", "a"]
    assert (8 + length) % 8 == 0
    assert [v["data_offsets"] for v in header.values()] == [[0, 16], [16, 18], [18, 21]]


# --- writing: all or nothing


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    ndl.save(path, {"a": np.ones(3)})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ndl.save(path, {"a": np.zeros(3)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["f"]


def test_files_have_the_usual_permissions_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    ndl.save(tmp_path / "link", {"a": np.ones(3)})
    assert (tmp_path / "link").is_symlink()
    mode = stat.S_IMODE((tmp_path / "target").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize(
    ("state", "metadata", "error", "text"),
    [
        (
            {"a": np.ones(2, complex)},
            None,
            TypeError,
            r"dtype is one of float64, .*got dtype=complex128",
        ),
        ({"a": "text"}, None, TypeError, r"got dtype=<U4 of 'a'"),
        ({"a": object()}, None, TypeError, r"got dtype=object of 'a'"),
        ({1: np.ones(2)}, None, TypeError, r"names are str, got name=1"),
        ({"__metadata__": np.ones(2)}, None, ValueError, r"got name='__metadata__'"),
        ({}, {"a": 1}, TypeError, r"metadata maps str to str"),
    ],
)
def test_what_cannot_be_written(
    state: Any, metadata: Any, error: type[Exception], text: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=r"\[save\] .*" + text):
        ndl.save(tmp_path / "f", state, metadata)
    assert os.listdir(tmp_path) == []


# --- malformed files


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


DATA = bytes(8)
TWICE = b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{}}'
BAD = {
    "nothing": (b"", r"a file begins with 8 bytes, its header's length, got bytes=0"),
    "truncated length": (b"\x08\0\0", r"got bytes=3"),
    "huge header": (file_of({}, length=2**63), r"at byte 0, is at most 100000000, got length=922"),
    "truncated header": (file_of({}, length=9), r"as long as byte 0 says, got length=9.* left=2"),
    "no JSON": (file_of(b"{x}"), r"the header, at byte 8, is a JSON object of distinct names"),
    "no UTF-8": (file_of(b'{"\xff":1}'), r"the header, at byte 8, .* in UTF-8"),
    "deep JSON": (file_of(b"[" * 100_000), r"the header, at byte 8"),
    "long integer": (file_of(b'{"a":' + b"9" * 5000 + b"}"), r"the header, at byte 8"),
    "list": (file_of([]), r"is a JSON object, got type=list"),
    "duplicate": (file_of(TWICE), r"'a' stands there twice"),
    "metadata": (file_of({"__metadata__": {"a": 1}}), r"__metadata__ maps str to str"),
    "no entry": (file_of({"a": 3}), r"'a' has dtype, shape and data_offsets, got entry=3"),
    "missing key": (file_of({"a": {"dtype": "F32"}}), r"'a' has dtype, shape and data_offsets"),
    "excess key": (file_of({"a": entry(x=1)}, DATA), r"'a' has dtype, shape and data_offsets"),
    "dtype": (file_of({"a": entry("F33")}, DATA), r"the dtype of 'a' is one of .*got dtype=F33"),
    "dtype list": (file_of({"a": entry([])}, DATA), r"the dtype of 'a' is one of"),
    "shape": (file_of({"a": entry(shape=2)}, DATA), r"the shape of 'a' .*got shape=2"),
    "negative": (file_of({"a": entry(shape=[-2])}, DATA), r"the shape of 'a'"),
    "fraction": (file_of({"a": entry(shape=[2.0])}, DATA), r"the shape of 'a'"),
    "true": (file_of({"a": entry(shape=[True, 2])}, DATA), r"the shape of 'a'"),
    "huge shape": (file_of({"a": entry(shape=[2**62, 4])}, DATA), r"'a' of dtype F32 and shape"),
    "zero and huge": (
        file_of({"a": entry(shape=[0, 2**62, 2**62], offsets=[0, 0])}),
        r"the shape of 'a' is one that numpy can hold",
    ),
    "many axes": (file_of({"a": entry(shape=[1] * 99 + [2])}, DATA), r"numpy can hold"),
    "three offsets": (file_of({"a": entry(offsets=[0, 4, 8])}, DATA), r"its begin and its end"),
    "swapped": (file_of({"a": entry(offsets=[8, 0])}, DATA), r"its begin and its end"),
    "size": (file_of({"a": entry(shape=[3])}, DATA), r"shape \[3\] has 12 bytes, got data_offsets"),
    "out of range": (
        file_of({"a": entry(shape=[4], offsets=[0, 16])}, DATA),
        r"the tensors have 16 bytes of data, got bytes=8",
    ),
    "overlap": (
        file_of({"a": entry(), "b": entry(shape=[1], offsets=[4, 8])}, DATA),
        r"'b' begins where the tensor before it ends, at data offset 8, got data_offsets=\[4, 8\]",
    ),
    "hole": (file_of({"a": entry(offsets=[4, 12])}, bytes(12)), r"'a' begins where .* offset 0"),
    "trailing": (file_of({"a": entry()}, bytes(9)), r"have 8 bytes of data, got bytes=9"),
    "bool": (
        file_of({"a": entry("BOOL", [8])}, b"\1\0\2\0\0\0\0\0"),
        r"the elements of 'a' are 0 or 1, got byte=2",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_files(name: str, tmp_path: Path) -> None:
    data, text = BAD[name]
    path = tmp_path / "bad file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"(?s)\[load\] .*" + text) as caught:
        ndl.load(path)
    assert str(caught.value).endswith(f"in path={path}")
    assert len(str(caught.value)) < 600 + len(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ndl.load(tmp_path / "none")


GOOD = file_of({"ab": entry(), "c": entry("BOOL", [2], [8, 10])}, DATA + b"\1\0")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_no_damage_does_more_than_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, length: int
) -> None:
    damaged = bytearray(GOOD)
    damaged[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    for data in (bytes(damaged), bytes(damaged[:length])):
        path.write_bytes(data)
        try:
            loaded = ndl.load(path)
        except ValueError:
            continue
        # what is still a file (another name, other elements) has every byte of its data
        assert sum(a.nbytes for a in loaded.values()) == 10
