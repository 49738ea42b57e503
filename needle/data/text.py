"""Word-level text, PTB style: a corpus of lines, a dictionary, and batches for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor
from needle.backend_ndarray.checks import integers

from .files import DataError, StrPath

EOS = "<eos>"


class Dictionary:
    """Words and their ids, in order of first appearance."""

    def __init__(self) -> None:
        self.word2idx: dict[str, int] = {}
        self.idx2word: list[str] = []

    def add_word(self, word: str) -> int:
        """The id of a word, a new one for a new word."""
        if word not in self.word2idx:
            self.word2idx[word] = len(self.idx2word)
            self.idx2word.append(word)
        return self.word2idx[word]

    def __len__(self) -> int:
        return len(self.idx2word)


class Corpus:
    """`train.txt` and `test.txt` of a folder as lists of word ids (`.train`, `.test`), each line
    closed by <eos>.

    `max_lines` takes the first lines of each file only.
    Raises: FileNotFoundError; DataError on text that is not UTF-8; ValueError when max_lines is
    negative.
    """

    def __init__(self, base_dir: StrPath, max_lines: int | None = None) -> None:
        self.dictionary = Dictionary()
        self.train = self.tokenize(Path(base_dir) / "train.txt", max_lines)
        self.test = self.tokenize(Path(base_dir) / "test.txt", max_lines)

    def tokenize(self, path: StrPath, max_lines: int | None = None) -> list[int]:
        """The ids of the words of a file, line by line."""
        if max_lines is not None and integers("Corpus", max_lines=max_lines)[0] < 0:
            raise ValueError(f"[Corpus] max_lines must not be negative, got max_lines={max_lines}")
        ids = []
        with Path(path).open("rb") as lines:
            for number, raw in enumerate(lines):
                if max_lines is not None and number >= max_lines:
                    break
                try:
                    words = raw.decode("utf-8").split()
                except UnicodeDecodeError as error:
                    raise DataError(path, f"line {number + 1}", "UTF-8 text", error) from error
                ids += [self.dictionary.add_word(word) for word in [*words, EOS]]
        return ids


def _require_length(op: str, name: str, value: Any) -> None:
    if not hasattr(value, "__len__"):
        raise TypeError(f"[{op}] {name} has a length, got type={type(value).__name__}")


def batchify(
    data: Any, batch_size: int, device: Any = None, dtype: str = "float32"
) -> npt.NDArray[Any]:
    """Ids in `batch_size` columns: the text runs down a column; what does not fill a row is
    dropped.

    Shape: (len(data) // batch_size, batch_size). `device` is accepted as in the course; get_batch
    moves the data.
    Raises: ValueError unless 1 <= batch_size <= len(data).
    """
    integers("batchify", batch_size=batch_size)
    _require_length("batchify", "data", data)
    rows = len(data) // batch_size if batch_size > 0 else 0
    if rows == 0:
        raise ValueError(
            "[batchify] batch_size must lie between 1 and the number of tokens, "
            f"got batch_size={batch_size}, tokens={len(data)}"
        )
    return np.asarray(data[: rows * batch_size], dtype=dtype).reshape(batch_size, rows).T.copy()


def get_batch(
    batches: npt.NDArray[Any], i: int, bptt: int, device: Any = None, dtype: str = "float32"
) -> tuple[Tensor, Tensor]:
    """Rows i ... of a batchified text and, as targets, the rows one further on.

    Shape: data (n, batch_size), targets (n * batch_size,), n = min(bptt, rows - 1 - i).
    Raises: IndexError when no target row follows row i.
    """
    integers("get_batch", i=i, bptt=bptt)
    _require_length("get_batch", "batches", batches)
    length = min(bptt, len(batches) - 1 - i)
    if i < 0 or length <= 0:
        raise IndexError(
            f"[get_batch] a row must follow row i, got i={i}, rows={len(batches)}, bptt={bptt}"
        )
    data = Tensor(batches[i : i + length], device=device, dtype=dtype, requires_grad=False)
    target = batches[i + 1 : i + 1 + length].reshape(-1)
    return data, Tensor(target, device=device, dtype=dtype, requires_grad=False)
