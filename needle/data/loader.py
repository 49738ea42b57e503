"""DataLoader: batches of a dataset, shuffled on request, optionally prepared ahead by a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from needle.autograd import Tensor
from needle.backend_ndarray.checks import integers

from .dataset import Dataset

T = TypeVar("T")


class DataLoader:
    """Iterates over a dataset in batches, each a tuple of Tensors.

    With `shuffle`, every iteration draws exactly one `np.random.shuffle(arange(n))` when it starts.
    `prefetch=k` lets a thread prepare up to k batches ahead; it is off by default, because
    transforms then draw from numpy's global generator earlier than the training step does, and the
    order of draws would change.
    Raises: ValueError on a batch size below 1 or a negative prefetch, TypeError when one is no int
    or the dataset is none.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int | None = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        prefetch: int = 0,
        device: Any = None,
        dtype: str = "float32",
    ) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(
                f"[DataLoader] dataset has a length and items, got type={type(dataset).__name__}"
            )
        if batch_size is None:
            batch_size = max(len(dataset), 1)
        integers("DataLoader", batch_size=batch_size, prefetch=prefetch)
        if batch_size < 1:
            raise ValueError(
                f"[DataLoader] batch_size must be positive, got batch_size={batch_size}"
            )
        if prefetch < 0:
            raise ValueError(f"[DataLoader] prefetch must not be negative, got prefetch={prefetch}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.prefetch = prefetch
        self.device = device
        self.dtype = dtype
        if not shuffle:
            self.ordering = self._chunks(np.arange(len(dataset)))

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def _chunks(self, order: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        chunks = np.array_split(order, range(self.batch_size, len(order), self.batch_size))
        return [c for c in chunks if len(c) and not (self.drop_last and len(c) < self.batch_size)]

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if self.shuffle:
            order = np.arange(len(self.dataset))
            np.random.shuffle(order)
            self.ordering = self._chunks(order)
        chunks = list(self.ordering)
        if self.prefetch:
            return _ahead(chunks, self._batch, self.prefetch)
        return (self._batch(chunk) for chunk in chunks)

    def _batch(self, indices: np.ndarray[Any, Any]) -> tuple[Tensor, ...]:
        fields = self.dataset[indices]
        if not isinstance(fields, tuple):
            fields = (fields,)
        return tuple(
            Tensor(np.asarray(f), device=self.device, dtype=self.dtype, requires_grad=False)
            for f in fields
        )


def _ahead(items: list[Any], make: Callable[[Any], T], depth: int) -> Iterator[T]:
    """`make` of each item in order, up to `depth` of them prepared by a thread.

    An exception in the thread is raised where its item would have come; leaving the loop early ends
    the thread.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[T | None, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        for item in items:
            try:
                entry: tuple[T | None, BaseException | None] = (make(item), None)
            except BaseException as error:
                entry = (None, error)
            if not put(entry) or entry[1] is not None:
                return

    thread = threading.Thread(target=work, name="needle-data", daemon=True)
    thread.start()
    try:
        for _ in items:
            made, error = ready.get()
            if error is not None:
                raise error
            yield made  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
