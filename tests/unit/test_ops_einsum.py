"""einsum against torch to second order, implicit outputs, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd

CASES = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba", (2, 3)),  # the letters in order: a transpose
    (" i j -> i ", (2, 3)),
    ("->", ()),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iji,kj->k", (2, 3, 2), (4, 3)),
    ("iiji->ij", (2, 2, 3, 2)),
    ("i,j->ji", (2,), (3,)),
    ("i,i->i", (3,), (3,)),
    (",i->i", (), (3,)),
    ("ij,kj->", (2, 3), (4, 3)),
    ("ij,k->i", (2, 3), (4,)),
    ("bij,bjk->bki", (2, 3, 4), (2, 4, 5)),
    ("...ij,...jk->...ik", (2, 3, 4), (5, 1, 4, 2)),
    ("...i,i...", (2, 3), (3, 2)),
    ("i...->...", (2, 3, 4)),
    ("i...->i", (2, 3, 4)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 2)),
    ("ab,ab,ab->a", (2, 3), (2, 3), (2, 3)),
    ("ij,ij->i", (2, 1), (2, 3)),
    ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("ij,jk->ik", (2, 0), (0, 3)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_einsum(case: Any, agree: Any, rng: Any) -> None:
    spec, *shapes = case
    arrays = [rng.standard_normal(s) for s in shapes]
    agree(
        lambda *t: ndl.einsum(spec, *t) * 1.0,
        lambda *t: torch.einsum(spec, *t) * 1.0,
        *arrays,
    )


@pytest.mark.parametrize(
    ("spec", "shapes", "text"),
    [
        ("ij", [(2, 3), (3,)], "names every tensor"),
        ("", [], "names every tensor"),
        ("ij->ik", [(2, 3)], "the output names letters of the inputs, each once"),
        ("ij->ii", [(2, 3)], "each once"),
        ("ij,jk->...ik", [(2, 3), (4, 3)], "sizes of a letter agree"),
        ("i1", [(2, 3)], "axes are letters"),
        ("i..j", [(2, 3)], "axes are letters"),
        ("i......j", [(2, 3)], "axes are letters"),
        ("i->j->i", [(2,)], "axes are letters"),
        ("ijk", [(2, 3)], r"every axis has a letter, .* ndim=2"),
        ("i", [(2, 3)], "every axis has a letter"),
        ("i...j", [(2,)], "every axis has a letter"),
        ("ij,ij", [(2, 3), (2, 4)], r"sizes of a letter agree, .* shapes="),
        ("ii", [(2, 3)], "sizes of a letter agree"),
    ],
)
def test_what_does_not_fit(
    spec: str, shapes: list[Any], text: str, device: nd.BackendDevice
) -> None:
    tensors = [ndl.Tensor(np.ones(s), device=device) for s in shapes]
    with pytest.raises(ValueError, match=rf"\[einsum\] .*{text}"):
        ndl.einsum(spec, *tensors)


@pytest.mark.parametrize("spec", ["ij->ji", "ij->ij", "ii->i"])
def test_letters_that_only_move_make_a_view(spec: str, device: nd.BackendDevice) -> None:
    a = ndl.Tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    y = ndl.einsum(spec, a)
    a.realize_cached_data()[...] = 7.0
    assert (y.numpy() == 7.0).all()
