"""Layers and optimizers of a course-style subject under the course's names."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from verify.sampling import Array
from verify.spec import Broken, Shape
from verify.targets.course import signatures
from verify.targets.course.library import Library, array_of

# How rows name what they give a constructor by position.
CONSTRUCTORS: dict[str, tuple[str, ...]] = {
    "nn.Linear": ("in_features", "out_features", "bias"),
    "nn.Conv": ("in_channels", "out_channels", "kernel_size", "stride", "bias"),
    "nn.BatchNorm1d": ("dim", "eps", "momentum"),
    "nn.BatchNorm2d": ("dim", "eps", "momentum"),
    "nn.LayerNorm1d": ("dim", "eps"),
    "nn.Dropout": ("p",),
    "nn.Residual": ("fn",),
    "nn.RNNCell": ("input_size", "hidden_size"),
    "nn.LSTMCell": ("input_size", "hidden_size"),
    "nn.RNN": ("input_size", "hidden_size", "num_layers"),
    "nn.LSTM": ("input_size", "hidden_size", "num_layers"),
    "nn.Embedding": ("num_embeddings", "embedding_dim"),
    **dict.fromkeys(("nn.ReLU", "nn.Tanh", "nn.Sigmoid", "nn.Flatten", "nn.SoftmaxLoss"), ()),
    "nn.Identity": (),
    **dict.fromkeys(("optim.SGD", "optim.Adam"), ("params",)),
}
_STATISTICS = ("running_mean", "running_var")
_CHANGING = ("BatchNorm1d", "BatchNorm2d", "Dropout")  # with each call


class Made:
    """A layer: attributes by the course's names, Tensors given to it in the shapes that it has."""

    def __init__(self, layer: Any, library: Library, device: str, dtype: str) -> None:
        object.__setattr__(self, "_parts", (layer, library, device, dtype))

    def __getattr__(self, name: str) -> Any:
        layer, library, device, dtype = self._parts
        found = getattr(layer, signatures.attribute(layer, name))
        if isinstance(found, (list, tuple)):
            return [Made(part, library, device, dtype) for part in found]
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        layer, library, device, dtype = self._parts
        known = signatures.attribute(layer, name)
        had = tuple(getattr(getattr(layer, known), "shape", ()) or ())
        self._check_made(name, getattr(layer, known), tuple(value.shape))
        if name in _STATISTICS:  # a leaf of its own, as a layer's are, or of the kind that is there
            given = array_of(value, name).reshape(had)
            held = getattr(layer, known)
            if isinstance(held, np.ndarray):
                made = given.astype(held.dtype)
            elif isinstance(held, library.tensor_class):
                made = library.tensor(given, device, dtype, False)
            else:
                made = library.data(given, device, dtype)
            setattr(layer, known, made)
            return
        if had and tuple(value.shape) != had and np.prod(had) == np.prod(value.shape):
            reshape = library.resolve("reshape")
            value = signatures.call(reshape, (value,), (), (), {"shape": had})
        setattr(layer, known, value)

    def _check_made(self, name: str, own: Any, shape: Shape) -> None:
        """What its constructor made, before it is replaced. Raises: Broken."""
        layer, library = self._parts[:2]
        kind = getattr(getattr(library.package, "nn", None), "Parameter", None)
        if kind is None or not isinstance(own, library.tensor_class):
            return
        whose = f"{type(layer).__name__}'s {name}"
        if name in _STATISTICS and isinstance(own, kind):
            raise Broken(f"{whose} is a Parameter: optimizers would move it")
        if name not in _STATISTICS and not isinstance(own, kind):
            raise Broken(f"{whose} is no Parameter: parameters() does not find it")
        if math.prod(own.shape) != math.prod(shape):
            raise Broken(f"{whose} is made with shape {tuple(own.shape)}, should be {shape}")

    def __call__(self, *given: Any) -> Any:
        """Its results; the same again but for a layer that draws or remembers. Raises: Broken."""
        layer, library, device, dtype = self._parts
        inputs = [
            library.tensor(x, device, dtype, False) if isinstance(x, np.ndarray) else x
            for x in given
        ]
        found = layer(*inputs)
        if type(layer).__name__ not in _CHANGING:
            twice = zip(library.listed(found), library.listed(layer(*inputs)), strict=True)
            if not all(alike(array_of(a, ""), array_of(b, "")) for a, b in twice):
                raise Broken("called again with the same input it gives something else")
        return found

    def eval(self) -> None:
        """As for evaluation."""
        self._parts[0].eval()


def alike(a: Array, b: Array) -> bool:
    """Whether two results differ by no more than the order of a sum; NaN where NaN is."""
    if a.shape != b.shape:
        return False
    largest = np.max(np.abs(a), where=np.isfinite(a), initial=0.0)
    with np.errstate(all="ignore"):
        return bool(np.allclose(a, b, 0, 1e-3 * largest, equal_nan=True))


@functools.cache
def dropout_of(library: Library, device: str, p: float) -> str:
    """Whose of numpy's next draws a dropout keeps: "least" (those up to 1 - p), "greatest" (those
    above p), "other" where it is a dropout by draws of its own, "" where it is none.
    """
    n, drawn = 1000, np.random.RandomState(1).rand(1000)
    state = np.random.get_state()
    try:
        made = signatures.call(library.resolve("nn.Dropout"), (), ("p",), (p,), {})
        np.random.seed(1)
        found = array_of(made(library.tensor(np.ones(n), device, "float32", False)), "nn.Dropout")
    except Exception:  # which its cases tell
        return ""
    finally:
        np.random.set_state(state)
    kept = found != 0
    for rule, right in (("least", drawn <= 1 - p), ("greatest", drawn > p)):
        if found.shape == (n,) and (kept == right).all():
            return rule
    likely = abs(kept.mean() - (1 - p)) <= 5 * np.sqrt(p * (1 - p) / n)
    scaled = found.shape == (n,) and np.allclose(found[kept], 1 / (1 - p), 1e-6, 0)
    return "other" if scaled and likely else ""


def held_graphs(made: Any, tensor_class: Any) -> str:
    """What of an optimizer's state, or of running statistics, still holds the graph behind it."""
    for name, value in vars(made).items():
        kept = name.startswith("running") or hasattr(made, "step")
        for t in _tensors(value, tensor_class) if kept else ():
            if getattr(t, "op", None) is not None:
                return f"{name} holds the graph that made it: memory grows with every step"
    return ""


def _tensors(value: Any, tensor_class: Any) -> Iterator[Any]:
    if isinstance(value, tensor_class):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part, tensor_class)
