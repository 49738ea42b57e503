"""What initialisers, optimizers, schedules, transforms and loaders must refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from verify.registry.planning import refuses
from verify.spec import Refusal, Shape

_TYPE: dict[str, Any] = {"raises": "TypeError"}


# --- initialisers


def _shaped(name: str) -> tuple[Refusal, ...]:
    return (
        refuses(shape=(-1, 3), says=rf"\[{name}\] .*shape=\(-1, 3\)"),
        refuses(shape=(2.5,), **_TYPE, says=rf"\[{name}\] size is an int, got type=float"),
        refuses(shape=("a",), **_TYPE, says=rf"\[{name}\] size is an int, got type=str"),
        refuses(shape=(2**40, 2**40), says="fewer than"),
    )


def _fans(name: str, *more: Refusal) -> tuple[Refusal, ...]:
    return (
        refuses(fan_in=0, fan_out=3, says="fan_in=0"),
        refuses(fan_in=-2, fan_out=3, says="fan_in=-2"),
        refuses(fan_in="a", fan_out=3, **_TYPE, says="fan_in is an int"),
        refuses(fan_in=3, fan_out=2.5, **_TYPE, says=rf"\[{name}\]"),
        *more,
    )


def _gain(*more: Refusal) -> tuple[Refusal, ...]:
    return (
        refuses(fan_in=3, fan_out=0, says="fan_out=0"),
        refuses(fan_in=3, fan_out=3, gain="a", **_TYPE, says="gain is a number"),
        *more,
    )


def _of_shape(name: str) -> tuple[Refusal, ...]:
    return (
        refuses(fan_in=3, fan_out=3, shape=5, **_TYPE, says="shape is a sequence"),
        refuses(fan_in=3, fan_out=3, shape=(-1,), says=rf"\[{name}\] .*shape=\(-1,\)"),
        refuses(fan_in=3, fan_out=3, nonlinearity="tanh", says="nonlinearity='tanh'"),
    )


_INIT = {
    "rand": (*_shaped("rand"), refuses(shape=(3,), low="a", **_TYPE, says="low is a number")),
    "randn": (
        *_shaped("randn"),
        refuses(shape=(3,), std=-1.0, says=r"std=-1\.0"),
        refuses(shape=(3,), mean="a", **_TYPE, says="mean is a number"),
    ),
    "randb": (
        *_shaped("randb"),
        refuses(shape=(3,), p=1.5, says=r"p=1\.5"),
        refuses(shape=(3,), p=-0.5, says=r"p=-0\.5"),
        refuses(shape=(3,), p="a", **_TYPE, says="p is a number"),
    ),
    "constant": (*_shaped("constant"), refuses(shape=(3,), c="a", **_TYPE, says="c is a number")),
    "ones": _shaped("ones"),
    "zeros": _shaped("zeros"),
    "one_hot": (
        refuses(n=-1, i=(0,), says="not be negative"),
        refuses(n=3, i=(0, 3), raises="IndexError", says="label=3, classes=3"),
        refuses(n=3, i=(-1,), raises="IndexError", says="label=-1"),
        refuses(n=3, i=(0.5,), says="label=0.5"),
        refuses(n="a", i=(0,), **_TYPE, says="is an int"),
    ),
    "xavier_uniform": _fans("xavier_uniform", *_gain()),
    "xavier_normal": _fans(
        "xavier_normal", *_gain(refuses(fan_in=3, fan_out=3, gain=-1.0, says=r"gain=-1\.0"))
    ),
    "kaiming_uniform": _fans("kaiming_uniform", *_of_shape("kaiming_uniform")),
    "kaiming_normal": _fans("kaiming_normal", *_of_shape("kaiming_normal")),
}


# --- optimizers and schedules

_STEP: tuple[Shape, ...] = ((3,), (3,))
_NO_PARAMETERS = (
    ("bare", "an iterable of Tensors, got type=Tensor"),
    ("number", "an iterable of Tensors, got type=int"),
    ("numbers", r"params\[1\]=float"),
)


def _optimizer(below: Sequence[str], within: Sequence[str] = ()) -> tuple[Refusal, ...]:
    """Hyper-parameters that are not negative, and such as lie in [0, 1); and wrong gradients."""
    bad = [*((name, -0.5) for name in ("lr", *below, *within)), *((name, 1.0) for name in within)]
    return (
        *(Refusal(_STEP, ((name, x),), "ValueError", f"{name}={x}") for name, x in bad),
        refuses(*_STEP, lr="fast", **_TYPE, says="lr is a number, got type=str"),
        refuses((3,), (4,), says=r"grad.shape=\(4,\)"),
        refuses((3,), (1,), says=r"grad.shape=\(1,\)"),
        refuses((3,), (2, 3), says=r"grad.shape=\(2, 3\)"),
        *(refuses(*_STEP, given=given, **_TYPE, says=says) for given, says in _NO_PARAMETERS),
        refuses(*_STEP, given="none", says="at least one parameter"),
        refuses(*_STEP, given="unset", **_TYPE, says="lr is a number, got type=NoneType"),
    )


def _count(name: str, **others: Any) -> tuple[Refusal, ...]:
    return (
        Refusal(((4,),), ((name, 0), *others.items()), "ValueError", f"{name}=0"),
        Refusal(((4,),), ((name, 1.5), *others.items()), "TypeError", f"{name} is an int"),
        Refusal(((4,),), ((name, 1), ("of", "tensor")), "TypeError", "an Optimizer, got type=Tens"),
    )


_ADAM = _optimizer(("eps", "weight_decay"), ("beta1", "beta2"))
_OPTIM = {
    "SGD": (
        *_optimizer(("momentum", "weight_decay")),
        refuses(*_STEP, nesterov=True, says="nesterov needs momentum"),
        refuses(*_STEP, momentum=0.5, dampening=-1.0, says=r"dampening=-1\.0"),
    ),
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "RMSprop": _optimizer(("eps", "weight_decay", "momentum"), ("alpha",)),
    "StepLR": (*_count("step_size"), refuses((4,), step_size=1, gamma=-1.0, says=r"gamma=-1\.0")),
    "CosineLR": (*_count("total"), refuses((4,), total=3, final=-1.0, says=r"final=-1\.0")),
    "WarmupLR": (*_count("warmup"), refuses((4,), warmup=3, total=3, says="total=3")),
    "clip_grad_norm": (
        refuses((3,), max_norm=-1.0, says=r"max_norm=-1\.0"),
        refuses((3,), max_norm="a", **_TYPE, says="max_norm is a number"),
    ),
}


# --- data

_PICTURES: Shape = (2, 3, 4, 1)
_DATA = {
    "RandomFlipHorizontal": (
        refuses(_PICTURES, p=1.5, says=r"p=1\.5"),
        refuses(_PICTURES, p="a", **_TYPE, says="p is a number"),
        refuses((2, 3, 4), says=r"H x W x C, got shape=\(3, 4\)"),
    ),
    "RandomCrop": (
        refuses(_PICTURES, padding=-1, says="padding=-1"),
        refuses(_PICTURES, padding=1.5, **_TYPE, says="padding is an int"),
        refuses((2, 3, 4), says=r"H x W x C, got shape=\(3, 4\)"),
    ),
    "DataLoader": (
        refuses((3,), batch_size=0, says="batch_size=0"),
        refuses((3,), batch_size=1.5, **_TYPE, says="batch_size is an int"),
        refuses((3,), prefetch=-1, says="prefetch=-1"),
        refuses((3,), prefetch="a", **_TYPE, says="prefetch is an int"),
    ),
    "NDArrayDataset": (
        refuses((3,), (4,), index=0, says=r"lengths=\[3, 4\]"),
        refuses((), index=0, **_TYPE, says="arrays have axes"),
        refuses((3,), index=3, raises="IndexError", says="3 items, got index=3"),
        refuses(index=0, says="at least one array"),
    ),
    "batchify": (
        refuses((3,), batch_size=0, says="batch_size=0"),
        refuses((3,), batch_size=4, says="batch_size=4, tokens=3"),
        refuses((3,), batch_size="a", **_TYPE, says="batch_size is an int"),
    ),
    "get_batch": (
        refuses((3, 2), i=2, bptt=1, raises="IndexError", says="i=2, rows=3"),
        refuses((3, 2), i=-1, bptt=1, raises="IndexError", says="i=-1"),
        refuses((3, 2), i=0, bptt=0, raises="IndexError", says="bptt=0"),
        refuses((3, 2), i="a", bptt=1, **_TYPE, says="i is an int"),
    ),
}

TRAINING: dict[str, tuple[Refusal, ...]] = {
    f"{module}.{name}": refusals
    for module, table in (("init", _INIT), ("optim", _OPTIM), ("data", _DATA))
    for name, refusals in table.items()
}
