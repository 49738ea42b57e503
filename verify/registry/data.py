"""Transforms and loaders: numpy arrays in, one Tensor for each array out; every choice is drawn
from numpy's global generator, by the subject and by the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.sampling import Array
from verify.spec import Row, Sample

_SEED = 2


def _array(x: Any) -> Array:
    """The Tensor's numbers, which nobody may write to."""
    array: Array = x.numpy()
    array.flags.writeable = False
    return array


def _tensor(like: Any, array: Any, where: dict[str, Any]) -> Any:
    """In the array's own dtype: the subject may not have changed it."""
    array = np.asarray(array)
    return type(like)(array, device=where["device"], dtype=str(array.dtype), requires_grad=False)


def _row(name: str, family: str, reference: Any, call: Any, *samples: Sample, **more: Any) -> Row:
    return Row(
        **{
            "name": f"data.{name}",
            "family": family,
            "reference": reference,
            "samples": samples,
            "regions": ("special", "zeros", "integer"),
            "layouts": ("compact",),
            "call": call,
            "differentiable": False,
            "mixtures": (),  # they are numpy arrays
            **more,
        }
    )


# --- transforms: of every image in turn, so that one case meets every choice


def _transform(found: Any, tensors: Sequence[Any], where: dict[str, Any], **arguments: Any) -> Any:
    (x,) = tensors
    made = found(**arguments)
    np.random.seed(_SEED)
    return _tensor(x, np.stack([made(image) for image in _array(x)]), where)


def _chosen(t: Any, x: Any, rows: Array, columns: Array) -> Any:
    """Of every image the rows (n, height) and columns (n, width)."""
    images = np.arange(x.shape[0])[:, None, None]
    places = (images, rows[:, :, None], columns[:, None, :])
    return x[tuple(t.from_numpy(np.ascontiguousarray(p)) for p in places)]


def _flip(t: Any, x: Any, p: float = 0.5) -> Any:
    np.random.seed(_SEED)
    n, height, width = x.shape[:3]
    forth = np.arange(width)
    columns = np.stack([forth[::-1] if np.random.rand() < p else forth for _ in range(n)])
    return _chosen(t, x, np.arange(height)[None, :], columns)


def _crop(t: Any, x: Any, padding: int = 3) -> Any:
    np.random.seed(_SEED)
    n, height, width = x.shape[:3]
    padded = t.nn.functional.pad(x, (0, 0, *[padding] * 4))
    shifts = np.stack([np.random.randint(-padding, padding + 1, size=2) for _ in range(n)])
    down, right = (shifts + padding).T[:, :, None]
    return _chosen(t, padded, down + np.arange(height), right + np.arange(width))


# --- loaders


class _Arrays:
    """A dataset of arrays."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Array, ...]:
        return tuple(a[index] for a in self.arrays)


_EPOCHS = 2


def _load(found: Any, tensors: Sequence[Any], where: dict[str, Any], **arguments: Any) -> Any:
    loader = found(_Arrays([_array(x) for x in tensors]), **arguments, **where)
    np.random.seed(_SEED)
    epochs = [list(loader) for _ in range(_EPOCHS)]
    if any(len(epoch) != len(loader) for epoch in epochs):
        raise ValueError(f"[row] len(loader) counts its batches, got len={len(loader)}")
    return epochs


def _loaded(
    t: Any,
    *arrays: Any,
    batch_size: int | None = 1,
    shuffle: bool = False,
    drop_last: bool = False,
    prefetch: int = 0,
) -> Any:
    n = arrays[0].shape[0]
    batch_size = batch_size or n
    np.random.seed(_SEED)
    batches = []
    for _ in range(_EPOCHS):
        order = np.arange(n)
        if shuffle:
            np.random.shuffle(order)
        for begin in range(0, n, batch_size):
            chunk = order[begin : begin + batch_size]
            if len(chunk) == batch_size or not drop_last:
                batches.append([a[t.from_numpy(chunk)] for a in arrays])
    return batches


def _indexed(found: Any, tensors: Sequence[Any], where: dict[str, Any], index: Any) -> Any:
    fields = found(*(_array(x) for x in tensors))[_index(index)]
    return [_tensor(tensors[0], field, where) for field in fields]


def _index(given: Any) -> Any:
    """A tuple stands for a list: a literal of a case id."""
    return list(given) if isinstance(given, tuple) else given


def _batchify(found: Any, tensors: Sequence[Any], where: dict[str, Any], batch_size: int) -> Any:
    (x,) = tensors
    return _tensor(x, found(_array(x), batch_size, **where), where)


def _columns(t: Any, x: Any, batch_size: int) -> Any:
    rows = x.shape[0] // batch_size
    return t.stack([x[i * rows : (i + 1) * rows] for i in range(batch_size)], 1)


def _get_batch(found: Any, tensors: Sequence[Any], where: dict[str, Any], **which: int) -> Any:
    return found(_array(tensors[0]), **which, **where)


def _next_words(t: Any, x: Any, i: int, bptt: int) -> Any:
    end = min(i + bptt, x.shape[0] - 1)
    return x[i:end], x[i + 1 : end + 1].reshape(-1)


_TWO = ((11, 3), (11,))

ROWS = (
    _row(
        "RandomFlipHorizontal",
        "transform",
        _flip,
        _transform,
        sample((24, 3, 4, 2)),
        sample((9, 4, 7, 3), p=0.25),
        sample((3, 2, 5, 1), p=1.0),
        sample((3, 2, 5, 1), p=0.0),
    ),
    _row(
        "RandomCrop",
        "transform",
        _crop,
        _transform,
        sample((60, 4, 5, 2), padding=1),
        sample((20, 3, 4, 1)),
        sample((3, 4, 5, 2), padding=0),
    ),
    _row(
        "DataLoader",
        "data",
        _loaded,
        _load,
        sample(*_TWO, batch_size=4),
        sample(*_TWO, batch_size=4, shuffle=True),
        sample(*_TWO, batch_size=4, shuffle=True, drop_last=True),
        sample(*_TWO, batch_size=3, shuffle=True, prefetch=2),
        sample((11, 2), batch_size=20),
        sample((4, 2, 3), batch_size=None),
        sample((6, 2), batch_size=2, drop_last=True),
        sample((3,)),
    ),
    _row(
        "NDArrayDataset",
        "data",
        lambda t, *arrays, index: [a[_index(index)] for a in arrays],
        _indexed,
        sample(*_TWO, index=3),
        sample(*_TWO, index=-1),
        sample(*_TWO, index=(4, 0, 0, 10)),
        sample((5, 2, 3), index=(1,)),
    ),
    _row(
        "batchify",
        "data",
        _columns,
        _batchify,
        sample((12,), batch_size=3),
        sample((17,), batch_size=4),
        sample((5,), batch_size=5),
        sample((5,), batch_size=1),
    ),
    _row(
        "get_batch",
        "data",
        _next_words,
        _get_batch,
        sample((7, 3), i=0, bptt=4),
        sample((7, 3), i=2, bptt=3),
        sample((7, 3), i=5, bptt=4),
        sample((9, 2), i=3, bptt=100),
    ),
)
