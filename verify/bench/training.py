"""Whole training steps: forward, loss, backward, Adam; on CUDA also as captured graphs."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import needle as ndl
from verify.bench.definitions import Pair, both, bytes_of, pull_back
from verify.bench.place import PLACE, Call
from verify.bench.twins import LSTMLanguageModel, ResNet9, copy_weights

STEPS, TEXTS = 35, 20  # of a language model's batch


def _place(dtype: str) -> dict[str, Any]:
    """Where layers are made; the same weights each time."""
    np.random.seed(0)
    return {"dtype": dtype, "device": PLACE.needle}


def resnet(dtype: str, batch: int = 0) -> Iterator[Pair]:
    """ResNet9 of two sizes."""
    place, batch = _place(dtype), batch or PLACE.batch
    images, torch_images = both((batch, 3, 32, 32), dtype, 1)
    labels = np.arange(batch) % 10
    for name, net, twin in (
        ("ResNet9", ndl.models.ResNet9(**place), ResNet9()),
        ("ResNet9 of DAWNBench's size", dawn(**place), torch_dawn()),
    ):
        yield from _training(
            "models.ResNet9",
            f"{name} training step, batch {batch}",
            dtype,
            (net, partial(net, images), labels),
            (twin, partial(twin, torch_images)),
        )


def language_model(dtype: str, texts: int = TEXTS) -> Iterator[Pair]:
    """LSTM language models of two vocabularies."""
    place = _place(dtype)
    for words in (1000, 10000):
        model = ndl.models.LanguageModel(256, words, 256, 2, "lstm", **place)
        twin_model = LSTMLanguageModel(256, words, 256, 2)
        ids = np.random.randint(0, words, (STEPS, texts))
        text = ndl.Tensor(ids, device=PLACE.needle, requires_grad=False)
        torch_text = torch.from_numpy(ids).to(PLACE.name)
        yield from _training(
            "models.LanguageModel",
            f"LSTM language model 2 x 256 training step, {words} words, {STEPS} x {texts}",
            dtype,
            (model, _first(model, text), np.roll(ids, -1, 0).ravel()),
            (twin_model, _first(twin_model, torch_text)),
        )


def transformers(dtype: str, texts: int = 16) -> Iterator[Pair]:
    """A Transformer of four layers."""
    place, width, length = _place(dtype), 256, 64
    tokens, torch_tokens = both((length, texts, width), dtype, 3)
    yield from _training(
        "nn.Transformer",
        f"Transformer 4 x {width} training step, {texts} texts of {length}",
        dtype,
        transformer(width, length, tokens, **place),
        torch_transformer(width, torch_tokens),
        same=False,
    )


def perceptron(dtype: str, batch: int = 0) -> Iterator[Pair]:
    """An MLP of three layers."""
    place, batch = _place(dtype), batch or PLACE.batch
    labels = np.arange(batch) % 10
    wide, torch_wide = both((batch, 784), dtype, 2)
    sizes = (784, 512, 512, 10)
    net, twin = mlp(sizes, **place), torch_mlp(sizes)
    yield from _training(
        "nn.Linear",
        f"MLP training step, batch {batch}",
        dtype,
        (net, lambda: net(wide), labels),
        (twin, lambda: twin(torch_wide)),
    )


def _first(model: Callable[..., Any], *inputs: Any) -> Callable[[], Any]:
    """A call whose first result counts."""
    return lambda: model(*inputs)[0]


def transformer(width: int, length: int, tokens: ndl.Tensor, **place: Any) -> Any:
    """A causal Transformer that scores ten classes of every token."""
    net = ndl.nn.Transformer(
        width, 4 * width, 4, num_head=8, dim_head=width // 8, sequence_len=length, **place
    )
    last = ndl.nn.Linear(width, 10, **place)
    both_parts = ndl.nn.Sequential(net, last)
    texts = tokens.shape[1]

    def forward() -> ndl.Tensor:
        scores: ndl.Tensor = last(net(tokens)[0].reshape((length * texts, width)))
        return scores

    return both_parts, forward, np.arange(length * texts) % 10


def torch_transformer(width: int, tokens: torch.Tensor) -> Any:
    """The same work in torch, by its own layers."""
    layer = torch.nn.TransformerEncoderLayer(
        width, 8, 4 * width, dropout=0.0, norm_first=True, dtype=tokens.dtype
    )
    net = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    last = torch.nn.Linear(width, 10, dtype=tokens.dtype)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(
        len(tokens), device=tokens.device, dtype=tokens.dtype
    )
    twin = torch.nn.Sequential(net, last)
    return twin, lambda: last(net(tokens, mask=mask, is_causal=True).reshape(-1, width))


def mlp(sizes: tuple[int, ...], **place: Any) -> ndl.nn.Module:
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [ndl.nn.Linear(n, m, **place), ndl.nn.ReLU()]
    return ndl.nn.Sequential(*layers[:-1])


def torch_mlp(sizes: tuple[int, ...]) -> torch.nn.Module:
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


# (channels in, channels out, pooled) of the convolutions; residual pairs follow the second and last
DAWN = ((3, 64, False), (64, 128, True), (128, 256, True), (256, 512, True))


def dawn(**place: Any) -> ndl.nn.Module:
    """ResNet9 of the size that is trained for DAWNBench: 6.6 million parameters."""

    def unit(cin: int, cout: int) -> list[Any]:
        return [
            ndl.nn.Conv(cin, cout, 3, bias=False, **place),
            ndl.nn.BatchNorm2d(cout, **place),
            ndl.nn.ReLU(),
        ]

    layers: list[Any] = []
    for cin, cout, pooled in DAWN:
        layers += unit(cin, cout)
        layers += [ndl.nn.MaxPool(2)] if pooled else []
        if cout in (128, 512):
            layers.append(ndl.nn.Residual(ndl.nn.Sequential(*unit(cout, cout), *unit(cout, cout))))
    layers += [ndl.nn.MaxPool(4), ndl.nn.Flatten(), ndl.nn.Linear(512, 10, **place)]
    return ndl.nn.Sequential(*layers)


def torch_dawn() -> torch.nn.Module:
    """The same in torch."""

    class Residual(torch.nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner: Any = super().forward
            return x + inner(x)  # type: ignore[no-any-return]

    def unit(cin: int, cout: int) -> list[Any]:
        conv = torch.nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        return [conv, torch.nn.BatchNorm2d(cout), torch.nn.ReLU()]

    layers: list[Any] = []
    for cin, cout, pooled in DAWN:
        layers += unit(cin, cout)
        layers += [torch.nn.MaxPool2d(2)] if pooled else []
        if cout in (128, 512):
            layers.append(Residual(*unit(cout, cout), *unit(cout, cout)))
    layers += [torch.nn.MaxPool2d(4), torch.nn.Flatten(), torch.nn.Linear(512, 10)]
    return torch.nn.Sequential(*layers)


def _training(
    op: str,
    name: str,
    dtype: str,
    ours: tuple[ndl.nn.Module, Callable[[], ndl.Tensor], np.ndarray],
    theirs: tuple[torch.nn.Module, Callable[[], torch.Tensor]],
    same: bool = True,
) -> Iterator[Pair]:
    """Forward, loss, backward and Adam, of both, from the same weights unless `same` is False."""
    model, forward, labels = ours
    twin, twin_forward = theirs
    if same:
        copy_weights(model, twin, getattr(torch, dtype))
    loss_of = ndl.nn.SoftmaxLoss()
    ndl_labels = ndl.Tensor(labels, device=PLACE.needle, requires_grad=False)
    mine = ndl.optim.Adam(model.parameters(), lr=1e-3)
    twin.to(PLACE.name)
    other = torch.optim.Adam(twin.parameters(), lr=1e-3)
    torch_labels = torch.from_numpy(labels).long().to(PLACE.name)

    def step() -> object:
        loss = loss_of(forward(), ndl_labels)
        mine.reset_grad()
        loss.backward(retain_graph=False)  # torch's default
        mine.step()
        return loss

    def twin_loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(twin_forward(), torch_labels)

    def twin_step() -> object:
        loss: Any = twin_loss()
        other.zero_grad()
        loss.backward()
        other.step()
        return loss

    calls: dict[str, Call] = {"": twin_step}
    # What Adam reads and writes of every parameter is the least that must move.
    weights = [tuple(p.shape) for p in twin.parameters()]
    work: dict[str, Any] = {
        "flops": products(twin, twin_loss),
        "bytes": 7 * bytes_of(dtype, *weights),
    }
    yield Pair(op, name, dtype, step, calls, whole_step=True, **work)
    if PLACE.name == "cuda":
        captured: list[Any] = []

        def replay() -> object:
            if not captured:
                step()  # what the optimizer and the libraries make once
                with PLACE.needle.graph() as graph:
                    step()
                captured.append(graph)
            return captured[0].replay()

        yield Pair(op, f"{name}, captured, beside torch eager", dtype, replay, calls, **work)


def products(twin: torch.nn.Module, loss_of: Callable[[], torch.Tensor]) -> float:
    """Operations of torch's matrix products and convolutions, forward and backward, as it counts.

    Not in fused kernels of LSTMs and attention: these it does not look into.
    """
    counter = FlopCounterMode(display=False)
    recurrent = any(isinstance(module, torch.nn.RNNBase) for module in twin.modules())
    plain = torch.nn.attention.SDPBackend.MATH
    with warnings.catch_warnings(), torch.nn.attention.sdpa_kernel(plain), counter:
        warnings.simplefilter("ignore")  # of flags(), about Intel's GPUs
        with torch.backends.mkldnn.flags(enabled=not recurrent):
            pull_back(loss_of(), None)
    twin.zero_grad()
    return float(counter.get_total_flops())
