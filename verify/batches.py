"""What training steps see: random batches, words, or images and labels of the MNIST test set."""

from __future__ import annotations

import numpy as np

from verify import sampling
from verify.spec import Case, UsageError
from verify.training import Array, Batch


def draw(case: Case, count: int, classes: int, words: bool) -> list[Batch]:
    """The batches of `count` steps, inputs in the dtype of the case, or ids of words."""
    shape, batches = case.shapes[0], []
    images = sampling.read_test_images() if case.region == "mnist" else None
    known = sampling.read_test_labels() if images is not None else None
    if images is not None and known is not None and len(images) != len(known):
        raise UsageError(f"[data] {len(images)} images need as many labels, got {len(known)}")
    for step in range(count):
        rng = sampling.generator(case, f"batch{step}")
        inputs: Array
        if images is not None and known is not None:
            chosen = rng.choice(len(images), shape[0], replace=False)
            inputs, labels = sampling.fitted(images[chosen], shape), known[chosen].astype(np.int64)
        elif words:
            inputs = rng.integers(classes, size=shape)
            labels = rng.integers(classes, size=inputs.size)
        else:
            inputs, labels = rng.standard_normal(shape), rng.integers(classes, size=shape[0])
        if not words:
            inputs = inputs.astype(case.dtype)
        batches.append(Batch(inputs, labels, step))
    return batches
