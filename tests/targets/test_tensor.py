"""A Tensor's operators and its backward are asked of a target, and named where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import asked, changed, wrong

from verify.spec import OUTSIDE, Case, Status

pytestmark = pytest.mark.timeout(300)
AUTOGRAD = "python/needle/autograd.py"
_SUM = """            total = grads[node][0]
            for g in grads[node][1:]:
"""
_DETACH = "return Tensor.make_const(self.realize_cached_data())\n\n    def numpy"

# what is wrong -> (before, after), the forms that show it
WRONG: dict[str, tuple[tuple[str, str], set[str]]] = {
    "nothing": (("", ""), set()),
    "1 - x is x - 1": (("return (-self) + other", "return self + -other"), {"2-x"}),
    "x - 2 is x + 2": (("ops.add_scalar(self, -other)", "ops.add_scalar(self, other)"), {"x-2"}),
    "3 / x is 3 x": (("return self**-1 * other", "return self * other"), {"3_by_x"}),
    "backward() begins with zeros": (
        ("numpy.ones(self.shape)", "numpy.zeros(self.shape)"),
        {"alone"},
    ),
    "gradients that accumulate": (
        ("node.grad = total\n", "node.grad = total if node.grad is None else node.grad + total\n"),
        {"again"},
    ),
    "a third use that is dropped": (
        (_SUM, _SUM.replace("[1:]", "[1:2]")),
        {"uses", "again", "paths"},
    ),
    "a first use alone": (
        (_SUM, _SUM.replace("[1:]", "[1:1]")),
        {"alone", "uses", "again", "paths", "doubled"},
    ),
    "detach that keeps the graph": (
        (
            "return Tensor.make_const(self.realize_cached_data())\n\n    def numpy",
            "return self\n\n    def numpy",
        ),
        {"detached", "detached_first"},
    ),
    "the first operand alone decides on the graph": (
        ("any(x.requires_grad for x in inputs)", "inputs[0].requires_grad"),
        {"detached_first"},
    ),
    "the last operand alone decides on the graph": (
        ("any(x.requires_grad for x in inputs)", "inputs[-1].requires_grad"),
        {"detached"},
    ),
    **{
        f"{what} without a gradient": ((before, after), forms)
        for what, before, after, forms in (
            ("1 - x", "return (-self) + other", "return (-self).detach() + other", {"2-x"}),
            ("y of x - y", "ops.negate(other)", "ops.negate(other.detach())", {"x-y"}),
            ("x of x * y", "ops.multiply(self,", "ops.multiply(self.detach(),", {"x*y"}),
            ("3 / x", "return self**-1 *", "return self.detach()**-1 *", {"3_by_x"}),
            (
                "y of x / y",
                "ops.divide(self, other)",
                "ops.divide(self, other.detach())",
                {"x_by_y"},
            ),
            ("a sum", "ops.summation(self,", "ops.summation(self.detach(),", {"x.sum"}),
        )
    },
    "3 x with a gradient of 1": (
        (
            "return ops.mul_scalar(self, other)",
            "return self + ops.mul_scalar(self.detach(), other - 1)",
        ),
        {"x*3", "3*x"},
    ),
    "a sum of all": (("ops.summation(self, axes)", "ops.summation(self)"), {"x.sum"}),
    "reshape that transposes": (
        ("ops.reshape(self, shape)", "ops.transpose(self)"),
        {"x.reshape"},
    ),
    "transpose of the last axes": (
        ("ops.transpose(self, axes)", "ops.transpose(self)"),
        {"x.transpose"},
    ),
    "broadcast_to that does nothing": (
        ("return ops.broadcast_to(self, shape)", "return self"),
        {"x.broadcast_to"},
    ),
    "matmul of twice the other": (
        (
            "def matmul(self, other):\n",
            "def matmul(self, other):\n        other = other + other\n",
        ),
        {"x.matmul"},
    ),
    "a sum over an int, which is as good": (
        ("ops.summation(self, axes)", "ops.summation(self, (axes.__index__(),))"),
        set(),
    ),
    "a shape as several numbers, which is as good": (
        ("def reshape(self, shape)", "def reshape(self, *shape)"),
        set(),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_tensor_is_found_and_named(name: str, tmp_path: Path) -> None:
    change, forms = WRONG[name]
    target = changed(tmp_path, "numpy_world", AUTOGRAD, *([change] if change[0] else []))
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    failed = {dict(Case.parse(v).kwargs)["form"] for v in wrong(verdicts)}
    assert failed == forms


def test_an_operand_without_a_gradient_is_named(tmp_path: Path) -> None:
    change = ("ops.divide(self, other)", "ops.divide(self, other.detach())")
    target = changed(tmp_path, "numpy_world", AUTOGRAD, change)
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    (found,) = [v for v in verdicts if v.status is not Status.PASS]
    assert "backward gave operand y no gradient" in found.message


def test_a_backward_that_does_not_remember_nodes_ends_as_a_timeout(tmp_path: Path) -> None:
    target = changed(tmp_path, "numpy_world", AUTOGRAD, ("        seen.add(node)\n", ""))
    options = ("--op", "autograd.Tensor", "--dtype", "float32", "--timeout", "5")
    found = [v for v in asked(target, *options) if v.status is Status.TIMEOUT]
    assert [dict(Case.parse(v.id).kwargs)["form"] for v in found] == ["doubled"]


def test_breadth_first_order_is_no_topological_order(tmp_path: Path) -> None:
    before = """            visit(x)
        order.append(node)

    for node in node_list:
        visit(node)
    return order
"""
    after = """            later.append(x)
        order.append(node)

    later = list(node_list)
    while later:
        visit(later.pop(0))
    return order[::-1]
"""
    target = changed(tmp_path, "numpy_world", AUTOGRAD, (before, after))
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    assert "paths" in {dict(Case.parse(v).kwargs)["form"] for v in wrong(verdicts)}


@pytest.mark.parametrize(("name", "other"), [("__rsub__", "right_sub"), ("sum", "total")])
def test_a_tensor_without_a_method_is_not_written_yet(
    name: str, other: str, tmp_path: Path
) -> None:
    target = changed(tmp_path, "numpy_world", AUTOGRAD, (f"def {name}(", f"def {other}("))
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    assert not wrong(verdicts)
    missing = [v for v in verdicts if v.status is Status.UNIMPLEMENTED]
    assert [v.message for v in missing] == [f"Tensor has no {name}"]
    assert all(v.attribution != OUTSIDE for v in missing)


def test_a_number_divided_by_a_tensor_is_open_where_there_is_none(tmp_path: Path) -> None:
    target = changed(tmp_path, "numpy_world", AUTOGRAD, ("__rtruediv__", "right_div"))
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    (found,) = [v for v in verdicts if v.status is not Status.PASS]
    assert found.attribution == OUTSIDE
    assert "a number divided by a Tensor" in found.message


def test_a_tiled_product_is_asked_for_several_whole_tiles(tmp_path: Path) -> None:
    """As the course's: only where every axis is made of whole tiles."""
    for tile in (8, 16, 32):
        tiled = f"""m, n, p = *a.shape, b.shape[-1]
        if a.ndim == b.ndim == 2 and m % {tile} == n % {tile} == p % {tile} == 0:
            a, b = a[:, : max({tile}, n - {tile})], b[: max({tile}, n - {tile})]
        return a @ b"""
        target = changed(
            tmp_path / str(tile), "numpy_world", "python/needle/ops.py", ("return a @ b", tiled)
        )
        options = (
            "--op",
            "matmul",
            "--dtype",
            "float32",
            "--check",
            "forward",
            "--layout",
            "compact",
        )
        found = {Case.parse(v).shapes for v in wrong(asked(target, *options))}
        assert ((64, 96), (96, 32)) in found, tile
