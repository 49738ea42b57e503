"""The reverse pass: order of the graph, and cotangents carried from the result to the leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from needle.autograd import Op, Tensor, TensorOp, Value
from needle.autograd.grad_mode import grad_mode
from needle.autograd.tuples import TensorTuple, TuplePart, make_tuple
from needle.backend_ndarray import NDArray, zeros

# What a value has received so far: a Tensor; for a TensorTuple that, or a dict of items by index.
Cotangent: TypeAlias = Any

# What a cotangent has in common with its value.
_AGREE = (("shape", ValueError), ("dtype", TypeError), ("device", ValueError))


def find_topo_sort(nodes: Sequence[Value]) -> list[Value]:
    """Every value that the nodes were computed from, and they: post-order, inputs left to right."""
    order: list[Value] = []
    entered: set[Value] = set()
    left: set[Value] = set()
    stack = list(reversed(nodes))
    while stack:
        node = stack[-1]
        if node not in entered:
            entered.add(node)
            if node.inputs:
                stack += [x for x in reversed(node.inputs) if x not in entered]
                continue
        stack.pop()
        if node not in left:
            left.add(node)
            order.append(node)
    return order


class Released(Op):
    """What a node is of once backward let go of its graph."""

    __slots__ = ()

    def gradient(self, out_grad: Any, node: Any) -> Any:
        raise RuntimeError(
            "[backward] a graph is walked once where it is not retained, got a node of one that "
            "backward(retain_graph=False) let go of"
        )


_RELEASED = Released()


def run_backward(output: Value, out_grad: Value, retain_graph: bool = True) -> None:
    """Carries out_grad from output to the leaves and sets their `.grad`.

    A node is visited when all its uses have sent their cotangents, and its own is dropped then.
    Unless the graph is retained the node then lets go of its inputs: values that nobody else holds
    are free before the next node is visited.
    """
    uses = _count_uses(output)
    cotangents: dict[Value, Cotangent] = {output: out_grad}
    ours: set[Value] = set()  # values whose cotangent is a sum that nobody else can hold

    def summed(x: Value, held: Tensor, more: Tensor) -> Tensor:
        if grad_mode.enabled:
            return held + more
        if x in ours:
            held.cached_data = held.realize_cached_data().accumulate(more.cached_data)
            return held
        ours.add(x)
        return held + more

    ready: list[Value] = [output]
    while ready:
        node = ready.pop()
        cotangent = cotangents.pop(node)
        op = node.op
        if op is None:
            _set_grad(node, cotangent)
            continue
        if type(cotangent) is dict:
            cotangent = _join(node, cotangent)
        inputs = node.inputs
        contributions = op.gradient_as_tuple(cotangent, node)
        if len(contributions) != len(inputs):
            raise ValueError(
                f"[{op}] gradient gives one cotangent per input, "
                f"got cotangents={len(contributions)}, inputs={len(inputs)}"
            )
        for x, contribution in zip(inputs, contributions):  # noqa: B905 (lengths are equal)
            if not x.requires_grad:
                continue
            held = cotangents.get(x)
            try:
                plain = contribution.cached_data.is_like(x.cached_data)
            except AttributeError:  # a TensorTuple, a lazy value, or a gradient that is no Tensor
                plain = False
            if not plain:
                cotangents[x] = _add_unusual(op, held, contribution, x)
            else:
                cotangents[x] = contribution if held is None else summed(x, held, contribution)
            left = uses[x] - 1
            if left:
                uses[x] = left
            else:
                del uses[x]  # which keeps it alive no longer
                ours.discard(x)
                ready.append(x)
        if not retain_graph and node.cached_data is not None:  # a lazy value still needs them
            node.op, node.inputs = _RELEASED, ()


def _count_uses(output: Value) -> dict[Value, int]:
    """For every value that grad flows to, how many inputs of other such values it is."""
    uses: dict[Value, int] = {}
    stack = [output]
    while stack:
        for x in stack.pop().inputs:
            if x.requires_grad:
                if x in uses:
                    uses[x] += 1
                else:
                    uses[x] = 1
                    stack.append(x)
    return uses


class Same(TensorOp):
    """Its input.

    Gradient: the cotangent.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad


def composed_vjp(
    function: Callable[..., Value], inputs: Sequence[Tensor], out_grad: Value
) -> tuple[Tensor | None, ...]:
    """The cotangents of inputs through function, which ops make of them; differentiable again.

    For the gradient of an op whose kernel has the same result as function.
    """
    recorded = grad_mode.enabled
    grad_mode.enabled = True  # of function: its graph is what is walked
    try:
        stands = [Tensor.make_const(x, requires_grad=x.requires_grad) for x in inputs]
        made = function(*stands)
        grad_mode.enabled = recorded
        run_backward(made, out_grad)
    finally:
        grad_mode.enabled = recorded
    cotangents = tuple(stand.grad for stand in stands)
    for stand, x in zip(stands, inputs, strict=True):
        # From now on no leaf: what was computed from it depends on x.
        stand.grad = None
        if recorded and x.requires_grad:
            stand.op, stand.inputs = Same(), (x,)
    return cotangents


def _set_grad(leaf: Value, cotangent: Tensor) -> None:
    if cotangent.op is None and cotangent.requires_grad:
        cotangent = Same()(cotangent)  # out_grad itself: the gradient depends on it
    # A Tensor of its own, so that replacing one leaf's grad.data leaves the others alone.
    grad = Tensor.__new__(Tensor)
    grad._set(cotangent.op, cotangent.inputs, cotangent.cached_data, cotangent.requires_grad)
    leaf.grad = grad


def check_out_grad(given: NDArray, expected: NDArray) -> None:
    """Raises unless out_grad agrees with the value that backward is called on."""
    for name, error in _AGREE:
        got, wanted = getattr(given, name), getattr(expected, name)
        if got != wanted:
            raise error(
                f"[backward] out_grad must have the {name} of the tensor, "
                f"got out_grad.{name}={got}, expected={wanted}"
            )


def _add_unusual(op: Op, held: Cotangent, contribution: Any, x: Value) -> Cotangent:
    """The cotangent of x after one more contribution, where it is not seen to fit."""
    if isinstance(x, TensorTuple):
        return _add_to_tuple(op, held, contribution, x)
    if not isinstance(contribution, Tensor):
        raise TypeError(
            f"[{op}] gradient gives a Tensor for every input that requires grad, "
            f"got type={type(contribution).__name__}"
        )
    given, expected = contribution.realize_cached_data(), x.realize_cached_data()
    for name, error in _AGREE:
        got, wanted = getattr(given, name), getattr(expected, name)
        if got != wanted:
            raise error(
                f"[{op}] gradient gives cotangents of the inputs' {name}s, "
                f"got {name}={got}, expected={wanted}"
            )
    return contribution if held is None else held + contribution


def _add_to_tuple(op: Op, held: Cotangent, contribution: Any, x: TensorTuple) -> Cotangent:
    """The cotangent of x after one more contribution: a TensorTuple, or one item of it."""
    if isinstance(contribution, TuplePart):
        items = [contribution]
    elif not isinstance(contribution, TensorTuple) or len(contribution) != len(x):
        raise TypeError(
            f"[{op}] gradient gives a TensorTuple of n items for such an input, "
            f"got type={type(contribution).__name__}, n={len(x)}"
        )
    elif held is None:
        return contribution
    else:
        items = [TuplePart(i, item) for i, item in enumerate(contribution)]
    if held is None:
        held = {}
    elif isinstance(held, TensorTuple):
        held = dict(enumerate(held))
    for i, item in items:
        held[i] = held[i] + item if i in held else item
    return held


def _join(node: Value, items: dict[int, Tensor]) -> TensorTuple:
    """The TensorTuple of these items, zeros where there is none."""

    def zero(a: NDArray) -> Tensor:
        return Tensor.make_const(zeros(a.shape, dtype=a.dtype, device=a.device))

    arrays = node.realize_cached_data()
    return make_tuple(*(items[i] if i in items else zero(a) for i, a in enumerate(arrays)))
