"""MNIST in the idx format (http://yann.lecun.com/exdb/mnist): plain or gzip."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .dataset import Dataset, Index, Transform
from .files import DataError, StrPath, read_bytes


def read_idx(path: StrPath, ndim: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in an idx file.

    Layout: two zero bytes, type 0x08, number of dimensions, each size as a big-endian uint32, the
    data.
    Raises: DataError naming file and place.
    """
    raw = read_bytes(path)
    if len(raw) < 4:
        raise DataError(path, "byte 0", "a 4-byte idx header", f"{len(raw)} bytes")
    if raw[:3] != b"\x00\x00\x08":
        raise DataError(path, "byte 0", "idx of unsigned bytes (00 00 08)", raw[:3].hex(" "))
    if raw[3] != ndim:
        raise DataError(path, "byte 3", f"{ndim} dimensions", raw[3])
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise DataError(path, "byte 4", f"{ndim} sizes of 4 bytes", f"{len(raw) - 4} bytes")
    shape = struct.unpack(f">{ndim}I", raw[4:start])
    if math.prod(max(n, 1) for n in shape) >= 1 << 63:  # beyond numpy, even where one size is 0
        raise DataError(path, "byte 4", "sizes of an array", shape)
    expected = math.prod(shape)
    if len(raw) - start != expected:
        raise DataError(
            path, f"byte {start}", f"{expected} bytes of data for shape {shape}", len(raw) - start
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def parse_mnist(
    image_filename: StrPath, label_filename: StrPath
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Images as (n, 784) float32 in [0, 1] and labels 0 - 9 as (n,) uint8.

    Raises: DataError on malformed files, images that are not 28 x 28, labels above 9, or when there
    are not as many labels as images.
    """
    images = read_idx(image_filename, 3)
    labels = read_idx(label_filename, 1)
    if len(labels) != len(images):
        raise DataError(
            label_filename, "byte 4", f"{len(images)} labels, one an image", len(labels)
        )
    if images.shape[1:] != (28, 28):
        raise DataError(image_filename, "byte 8", "images of 28 x 28", images.shape[1:])
    odd = np.flatnonzero(labels > 9)
    if odd.size:
        raise DataError(label_filename, f"byte {8 + odd[0]}", "a label 0 - 9", labels[odd[0]])
    return images.reshape(len(images), 784).astype(np.float32) / np.float32(255.0), labels


class MNISTDataset(Dataset):
    """Images (28, 28, 1) float32 in [0, 1] with their labels; an index may be an int, a slice or an
    array.
    """

    def __init__(
        self,
        image_filename: StrPath,
        label_filename: StrPath,
        transforms: Sequence[Transform] | None = None,
    ) -> None:
        super().__init__(transforms)
        flat, self.labels = parse_mnist(image_filename, label_filename)
        self.images = flat.reshape(len(flat), 28, 28, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> tuple[Any, Any]:
        return self.transformed(self.images, index), self.labels[index]
