"""Arrays on disk, in the safetensors format: a JSON header, then raw little-endian elements.

Nothing that is read is executed. Source: huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["load", "load_metadata", "save"]

Name: TypeAlias = str | os.PathLike[str]
Array: TypeAlias = npt.NDArray[Any]

_NUMPY = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_CODES = {name: code for code, name in _NUMPY.items()}
_METADATA = "__metadata__"  # the header's entry that is no tensor
_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit


class _Entry(NamedTuple):
    """What the header says of a tensor; begin and end count from the end of the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


# --- writing


def save(path: Name, state: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes arrays (numpy arrays, NDArrays or Tensors) by name, and metadata, to a file.

    The file is replaced as a whole or not at all.
    dtype: float64, float32, float16, bfloat16, integers and bool.
    Raises: TypeError on other dtypes, on names and metadata that are not str; ValueError on the
    name "__metadata__".
    """
    arrays = {name: _writable(name, value) for name, value in state.items()}
    header: dict[str, Any] = {}
    if metadata:
        for pair in metadata.items():
            if not all(isinstance(part, str) for part in pair):
                raise TypeError(f"[save] metadata maps str to str, got metadata={metadata}")
        header[_METADATA] = dict(metadata)
    # wide elements first: each array starts at a multiple of its element's size
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    end = 0
    for name in order:
        array = arrays[name]
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise ValueError(
            f"[save] the header has at most {_LARGEST_HEADER} bytes, got bytes={len(text)}"
        )
    target = Path(os.path.realpath(path))  # through a symbolic link
    draft = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                file.write(arrays[name].reshape(-1).view(np.uint8).data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _writable(name: str, value: Any) -> Array:
    """value as a compact little-endian array."""
    if not isinstance(name, str):
        raise TypeError(f"[save] names are str, got name={name!r}")
    if name == _METADATA:
        raise ValueError(f"[save] a tensor cannot be called so, got name={name!r}")
    array = np.asarray(value)
    if array.dtype.name not in _CODES:
        raise TypeError(
            f"[save] dtype is one of {', '.join(_CODES)}, got dtype={array.dtype} of {name!r}"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array).reshape(array.shape)


# --- reading


def load(path: Name) -> dict[str, Array]:
    """The arrays of a file that save, or any writer of the format, has written.

    Raises: ValueError that names the file, the place and what was expected, when it is malformed;
    FileNotFoundError and other OSErrors as open does.
    """
    with open(path, "rb") as file:
        entries, _, start = _read_header(file, Path(path))
        return {name: _read(file, Path(path), name, e, start) for name, e in entries.items()}


def load_metadata(path: Name) -> dict[str, str]:
    """The metadata of a file. Raises: as load."""
    with open(path, "rb") as file:
        return _read_header(file, Path(path))[1]


def _malformed(path: Path, rule: str, got: str) -> ValueError:
    # a file can hold names and values of any length
    return ValueError(f"[load] {rule[:300]}, got {got[:200]} in path={path}")


def _read_header(file: BinaryIO, path: Path) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """Tensors, metadata, and where the elements begin."""
    total = os.fstat(file.fileno()).st_size
    start = file.read(8)
    if len(start) < 8:
        raise _malformed(path, "a file begins with 8 bytes, its header's length", f"bytes={total}")
    length = int.from_bytes(start, "little")
    if length > _LARGEST_HEADER:
        rule = f"the header's length, at byte 0, is at most {_LARGEST_HEADER}"
        raise _malformed(path, rule, f"length={length}")
    if length > total - 8:
        rule = "the header, at byte 8, is as long as byte 0 says"
        raise _malformed(path, rule, f"length={length}, bytes left={total - 8}")
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        rule = "the header, at byte 8, is a JSON object of distinct names in UTF-8"
        raise _malformed(path, rule, f"error={str(error)!r}") from error
    if not isinstance(header, dict):
        rule = "the header, at byte 8, is a JSON object"
        raise _malformed(path, rule, f"type={type(header).__name__}")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or any(not isinstance(v, str) for v in metadata.values()):
        raise _malformed(path, f"{_METADATA} maps str to str", f"value={metadata}")
    entries = {name: _entry(path, name, value) for name, value in header.items()}
    _check_layout(path, entries, total - 8 - length)
    return entries, metadata, 8 + length


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found


def _entry(path: Path, name: str, value: Any) -> _Entry:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _malformed(path, f"{name!r} has dtype, shape and data_offsets", f"entry={value}")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or code not in _NUMPY:
        rule = f"the dtype of {name!r} is one of {', '.join(_NUMPY)}"
        raise _malformed(path, rule, f"dtype={code}")
    if not _sizes(shape):
        raise _malformed(path, f"the shape of {name!r} is a list of sizes", f"shape={shape}")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        rule = f"the data_offsets of {name!r} are its begin and its end"
        raise _malformed(path, rule, f"data_offsets={offsets}")
    dtype = _dtype(_NUMPY[code])
    needed = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != needed:
        rule = f"{name!r} of dtype {code} and shape {shape} has {needed} bytes"
        raise _malformed(path, rule, f"data_offsets={offsets}")
    return _Entry(dtype, tuple(shape), *offsets)


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        made: np.dtype[Any] = np.dtype(bfloat16)
        return made
    return np.dtype(name).newbyteorder("<")


def _check_layout(path: Path, entries: dict[str, _Entry], size: int) -> None:
    """Whether the tensors fill the data from end to end, none over another."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda pair: (pair[1].begin, pair[1].end)):
        if entry.begin != end:
            rule = f"{name!r} begins where the tensor before it ends, at data offset {end}"
            raise _malformed(path, rule, f"data_offsets={[entry.begin, entry.end]}")
        end = entry.end
    if end != size:
        raise _malformed(path, f"the tensors have {end} bytes of data", f"bytes={size}")


def _read(file: BinaryIO, path: Path, name: str, entry: _Entry, start: int) -> Array:
    data = np.empty(entry.end - entry.begin, np.uint8)
    file.seek(start + entry.begin)
    if file.readinto(data.data) != data.size:  # type: ignore[attr-defined]
        raise _malformed(path, f"{name!r} has {data.size} bytes", "the end of the file")
    if entry.dtype == np.bool_ and data.size and data.max() > 1:
        rule = f"the elements of {name!r} are 0 or 1"
        raise _malformed(path, rule, f"byte={data.max()}")
    try:
        array = data.view(entry.dtype).reshape(entry.shape)
    except ValueError as error:  # more axes, or larger ones around a 0, than numpy has
        rule = f"the shape of {name!r} is one that numpy can hold"
        raise _malformed(path, rule, f"shape={entry.shape}") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)
