"""What members of arrays must refuse themselves: ops refuse most of it before they call them."""

from __future__ import annotations

from typing import Any

from verify.registry.planning import refuses

_IMAGE, _KERNEL = (1, 4, 4, 2), (3, 3, 2, 5)
_SGD: dict[str, Any] = {
    **{"lr": 0.1, "momentum": 0.9, "undamped": 1.0, "weight_decay": 0.0},
    **{"nesterov": False, "first": False, "first_undamped": True},
}
_ADAM: dict[str, Any] = {
    **{"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0},
    **{"corrections": (1.0, 1.0), "decoupled": False, "is_first": False},
}
_POOLED: dict[str, Any] = {"kernel": 2, "stride": 2, "padding": 0}
# every dtype that the device computes in, and the one that was given
_COMPUTES = r"computes in (b?float\d\d, )*b?float\d\d and b?float\d\d \(use .*dtype=int32"
# what the array itself refuses, whatever an op would have refused before it
MEMBERS = (
    refuses((3, 4), call="squeeze", axes=(0,), says="size 1"),
    *(
        refuses(*shapes, call=call, dtype="int32", raises="TypeError", says=_COMPUTES, **more)
        for shapes, call, more in (
            ((_IMAGE, _KERNEL), "conv2d", {}),
            (((3, 4), (3, 4)), "softmax_grad", {"axis": (1,)}),
            (((3, 4), (3, 4)), "logsoftmax_grad", {"axis": (1,)}),
            (((3, 4), (3, 4), (3, 1), (3, 1)), "standardize_grad", {"axis": (1,)}),
            (((1, 4, 4, 2), (1, 2, 2, 2)), "max_pool2d_grad", _POOLED),
            (((1, 2, 2, 2),), "avg_pool2d_grad", {"x_shape": _IMAGE, **_POOLED, "inside": False}),
            (((2, 12), (2, 3)), "lstm_cell", {}),
            (((3, 4), (3, 4), (3, 4)), "sgd_step", _SGD),
            (((3, 4), (3, 4), (3, 4), (3, 4)), "adam_step", _ADAM),
        )
    ),
    refuses(
        *((4, 1, 5), (5,), (5,)),
        call="standardize",
        axis=(1,),
        eps=0.1,
        named=("weight", "bias"),
        says="one element for each row",
    ),
    refuses((3, 4), (3, 4), (4, 3), call="sgd_step", says="shape", **_SGD),
    refuses((3, 4), (4, 3), (3, 4), call="sgd_step", says="shape", **_SGD),
    refuses((3, 4), (3, 4), (4, 3), (3, 4), call="adam_step", says="shape", **_ADAM),
    refuses((3, 4), (3, 4), (3, 4), (4, 3), call="adam_step", says="shape", **_ADAM),
    *(
        refuses(
            *((3, 4),) * lists * 2,
            call=call,
            dtypes=("float32", "float64"),
            raises="TypeError",
            says="float32.*float64|float64.*float32",
            **more,
        )
        for call, lists, more in (("sgd_steps", 3, _SGD), ("adam_steps", 4, _ADAM))
    ),
)
