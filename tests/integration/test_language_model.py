"""An LSTM language model learns the Zen of Python, character by character, as its torch twin does.

The text is in the public domain (PEP 20) and part of every Python.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # the programs lie beside this file

import needle as ndl
from needle import models
from verify.bench import twins

BATCH, SEQ_LEN, LR, CLIP = 8, 20, 2.0, 0.5


def zen() -> tuple[list[int], ndl.data.Dictionary]:
    """The characters of the text as ids."""
    with contextlib.redirect_stdout(io.StringIO()):  # it is printed at import
        import this
    dictionary = ndl.data.Dictionary()
    ids = [dictionary.add_word(c) for c in codecs.decode(this.s, "rot13").lower()]
    return ids, dictionary


def twin_epoch(twin: Any, data: np.ndarray, optimizer: Any) -> float:
    """Mean loss of a character; the state goes on from batch to batch."""
    state, total, rows = None, 0.0, 0
    for i in range(0, len(data) - 1, SEQ_LEN):
        n = min(SEQ_LEN, len(data) - 1 - i)
        x, y = (torch.tensor(data[j : j + n].astype(np.int64)) for j in (i, i + 1))
        scores, state = twin(x, state)
        state = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(scores, y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
        optimizer.step()
        total, rows = total + loss.item() * y.numel(), rows + y.numel()
    return total / rows


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch's threads wait by spinning, which takes minutes where a core is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_lstm_learns_the_zen_as_its_torch_twin_does() -> None:
    ids, dictionary = zen()
    np.random.seed(0)
    where: dict[str, Any] = {"device": ndl.cpu(), "dtype": "float64"}
    model = models.LanguageModel(12, len(dictionary), 24, 2, "lstm", **where)
    data = ndl.data.batchify(ids, BATCH, dtype="float64")
    twin = twins.LSTMLanguageModel(12, len(dictionary), 24, 2)
    twins.copy_weights(model, twin, torch.float64)
    ours = ndl.optim.SGD(model.parameters(), LR)
    theirs = torch.optim.SGD(twin.parameters(), LR)
    losses = []
    for _ in range(20):
        _, loss = models.epoch_general_ptb(data, model, SEQ_LEN, opt=ours, clip=CLIP, **where)
        expected = twin_epoch(twin, data, theirs)
        assert loss == pytest.approx(expected, rel=1e-6)
        losses.append(loss)
    assert math.exp(losses[0]) > 20
    _, after = models.evaluate_ptb(model, data, SEQ_LEN, **where)
    assert math.exp(after) < 15
    assert after < losses[-1] < losses[0]
