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
        {"detached"},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_tensor_is_found_and_named(name: str, tmp_path: Path) -> None:
    change, forms = WRONG[name]
    target = changed(tmp_path, "numpy_world", AUTOGRAD, *([change] if change[0] else []))
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    failed = {dict(Case.parse(v).kwargs)["form"] for v in wrong(verdicts)}
    assert failed == forms


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


def test_a_tensor_without_an_operator_is_not_written_yet(tmp_path: Path) -> None:
    target = changed(tmp_path, "numpy_world", AUTOGRAD, ("__rsub__", "right_sub"))
    verdicts = asked(target, "--op", "autograd.Tensor", "--dtype", "float32")
    assert not wrong(verdicts)
    missing = [v for v in verdicts if v.status is Status.UNIMPLEMENTED]
    assert [v.message for v in missing] == ["Tensor has no __rsub__"]
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
