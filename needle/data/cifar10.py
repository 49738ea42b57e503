"""CIFAR-10 in its python version: pickled batches, read by an unpickler that builds nothing but
numpy arrays.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import Dataset, Index, Transform
from .files import DataError, StrPath, read_bytes

# What a batch needs to rebuild its arrays; everything else in a pickle could run code.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file")
        if module == "numpy.core.multiarray":
            module = "numpy._core.multiarray"  # where numpy 2 keeps it
        return super().find_class(module, name)


def read_batch(path: StrPath) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) int64 of one batch file.

    Raises: DataError when the file is no batch or holds anything but arrays, lists and strings.
    """
    raw = read_bytes(path)
    try:
        batch = _ArrayUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises almost anything
        raise DataError(
            path, "pickle", "a batch of arrays", f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(batch, dict) or not {b"data", b"labels"} <= set(batch):
        raise DataError(
            path, "top level", "a dict with b'data' and b'labels'", type(batch).__name__
        )
    images = batch[b"data"]
    if not (isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 2):
        raise DataError(
            path, "b'data'", "a uint8 array (n, 3072)", getattr(images, "shape", type(images))
        )
    if images.shape[1] != 3072:
        raise DataError(path, "b'data'", "rows of 3072 bytes", images.shape[1])
    return images.reshape(-1, 3, 32, 32), _labels(path, batch[b"labels"], len(images))


def _labels(path: StrPath, given: Any, n: int) -> np.ndarray[Any, Any]:
    """n labels (n,) int64. Raises: DataError when they are anything else."""
    try:
        labels = np.asarray(given)
    except ValueError as error:  # lists of several lengths
        raise DataError(path, "b'labels'", f"{n} integers", error) from error
    if labels.shape == (n,) == (0,):
        return np.zeros(0, np.int64)  # [] has numpy's dtype float64
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        got = f"shape {labels.shape}, dtype {labels.dtype}"
        raise DataError(path, "b'labels'", f"{n} integers", got)
    odd = labels[(labels < 0) | (labels > 9)]
    if odd.size:
        raise DataError(path, "b'labels'", "labels 0 - 9", odd[0])
    return labels.astype(np.int64)


class CIFAR10Dataset(Dataset):
    """Images (3, 32, 32) float32 in [0, 1] with their labels 0 - 9, from the folder that holds the
    batches.

    `train=True` reads data_batch_1 ... 5, otherwise test_batch. Transforms get and give H x W x C.
    `p` is kept as an attribute, as in the course.
    Raises: FileNotFoundError, DataError.
    """

    def __init__(
        self,
        base_folder: StrPath,
        train: bool,
        p: float = 0.5,
        transforms: Sequence[Transform] | None = None,
    ) -> None:
        super().__init__(transforms)
        self.p = p
        names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
        batches = [read_batch(Path(base_folder) / name) for name in names]
        self.X = np.concatenate([images for images, _ in batches]).astype(np.float32) / np.float32(
            255
        )
        self.y = np.concatenate([labels for _, labels in batches])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Index) -> tuple[Any, Any]:
        if not self.transforms:
            return self.X[index], self.y[index]
        channels_last = np.moveaxis(self.X, 1, -1)
        return np.moveaxis(self.transformed(channels_last, index), -1, -3), self.y[index]
