"""Files of images or labels, as MNIST has them."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from verify.spec import UsageError


def read(path: Path, what: str, axes: int) -> npt.NDArray[np.uint8]:
    """The bytes of an idx file with so many axes.

    Raises: UsageError that names the file and the place, when it is absent or malformed.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"[data] the folder holds no {path.name}, got path={path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"[data] not a readable gzip file, got path={path} ({error})") from error
    begin = 4 * (1 + axes)
    if len(data) < begin:
        raise UsageError(f"[data] an idx header has {begin} bytes, got {len(data)} in path={path}")
    magic, *shape = struct.unpack(f">{1 + axes}I", data[:begin])
    if magic != 0x800 + axes:
        raise UsageError(
            f"[data] {what} begin with 0x{0x800 + axes:08x} at byte 0, "
            f"got 0x{magic:08x} in path={path}"
        )
    if len(data) != begin + math.prod(shape):
        raise UsageError(
            f"[data] {what} of shape {tuple(shape)} need {begin + math.prod(shape)} bytes, "
            f"got {len(data)} in path={path}"
        )
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)
