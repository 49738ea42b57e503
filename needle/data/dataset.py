"""Datasets: indexable collections of samples, optionally transformed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor
from needle.backend_ndarray import NDArray

Array = npt.NDArray[Any]
Transform = Callable[[Array], Array]
Index = int | np.integer[Any] | slice | Sequence[int] | Array


class Dataset:
    """A collection of samples with a length; subclasses define `__getitem__` and `__len__`."""

    def __init__(self, transforms: Sequence[Transform] | None = None) -> None:
        self.transforms = list(transforms) if transforms is not None else []

    def __getitem__(self, index: Index) -> Any:
        raise NotImplementedError(f"[{type(self).__name__}] a Dataset defines __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"[{type(self).__name__}] a Dataset defines __len__")

    def apply_transforms(self, x: Array) -> Array:
        """Every transform in order, on one sample."""
        for transform in self.transforms:
            x = transform(x)
        return x

    def transformed(self, images: Array, index: Index) -> Array:
        """`images[index]`, transformed one by one where the index picks several."""
        picked = images[index]
        if not self.transforms:
            return picked
        if picked.ndim == images.ndim:
            return np.stack([self.apply_transforms(x) for x in picked]) if len(picked) else picked
        return self.apply_transforms(picked)


class NDArrayDataset(Dataset):
    """Arrays of one length, indexed together: item i is `(arrays[0][i], arrays[1][i], ...)`.

    NDArrays, Tensors and lists are read as numpy arrays, which any index picks from.
    Raises: ValueError when the arrays differ in length or there are none, TypeError when one has no
    length.
    """

    def __init__(self, *arrays: Any) -> None:
        super().__init__()
        if not arrays:
            raise ValueError("[NDArrayDataset] at least one array is needed, got arrays=()")
        self.arrays = tuple(
            np.asarray(a) if isinstance(a, NDArray | Tensor | list | tuple) else a for a in arrays
        )
        for i, a in enumerate(self.arrays):
            if not hasattr(a, "__getitem__") or np.ndim(a) == 0:
                raise TypeError(
                    f"[NDArrayDataset] arrays have axes, got arrays[{i}]={type(arrays[i]).__name__}"
                )
        lengths = [len(a) for a in self.arrays]
        if len(set(lengths)) != 1:
            raise ValueError(f"[NDArrayDataset] arrays must have one length, got lengths={lengths}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Index) -> tuple[Any, ...]:
        try:
            return tuple(a[index] for a in self.arrays)
        except IndexError as error:
            raise IndexError(
                f"[NDArrayDataset] an index picks from {len(self)} items, got index={index!r}"
            ) from error
