"""Layers and optimizers of a course-style subject under the course's names."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

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

    def __call__(self, *given: Any) -> Any:
        layer, library, device, dtype = self._parts
        return layer(
            *(
                library.tensor(x, device, dtype, False) if isinstance(x, np.ndarray) else x
                for x in given
            )
        )

    def eval(self) -> None:
        """As for evaluation."""
        self._parts[0].eval()


@functools.cache
def keeps_other_draws(library: Library, device: str, p: float) -> bool:
    """Whether its dropout is one, but drops by other draws than numpy's next that exceed 1 - p."""
    n, drawn = 1000, np.random.RandomState(1).rand(1000) <= 1 - p
    state = np.random.get_state()
    try:
        made = signatures.call(library.resolve("nn.Dropout"), (), ("p",), (p,), {})
        np.random.seed(1)
        found = array_of(made(library.tensor(np.ones(n), device, "float32", False)), "nn.Dropout")
    except Exception:  # which its cases tell
        return False
    finally:
        np.random.set_state(state)
    kept = found != 0
    likely = abs(kept.mean() - (1 - p)) <= 5 * np.sqrt(p * (1 - p) / n)
    scaled = found.shape == (n,) and np.allclose(found[kept], 1 / (1 - p), 1e-6, 0)
    return bool(scaled and likely and (kept != drawn).any())


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
    elif isinstance(value, dict):
        yield from (t for t in value.values() if isinstance(t, tensor_class))
    elif isinstance(value, (list, tuple)):
        yield from (t for t in value if isinstance(t, tensor_class))
