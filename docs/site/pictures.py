"""Draws the pictures of the error model and of the architecture: docs/images/*.svg.

python docs/site/pictures.py

Dots in the plots are measured here, with numpy.
"""

from __future__ import annotations

import math

import numpy as np
from svg import BLUE, FAINT, GREEN, INK, RED, Axes, Picture

U = 2.0**-24  # float32


def ulp() -> None:
    """The number line of a format with three bits, and the relative spacing."""
    picture = Picture(720, 270, "The spacing of floating-point numbers doubles at powers of two")
    picture.text(20, 28, "A format with 3 bits: its numbers between 1 and 8", "start")

    def at(v: float) -> float:
        return 40 + (v - 1) / 7 * 640

    picture.line(40, 80, 690, 80, stroke=FAINT)
    for k in range(3):
        for m in range(4):
            v = (1 + m / 4) * 2.0**k
            picture.line(at(v), 68, at(v), 92, stroke=INK if m == 0 else BLUE, stroke_width=2)
        picture.text(at(2.0**k), 60, str(2**k), font_weight="bold")
        a, b = at(1.5 * 2.0**k), at(1.75 * 2.0**k)
        picture.line(a, 104, b, 104, stroke=RED, stroke_width=3)
        picture.text((a + b) / 2, 122, f"ULP {2.0**k / 4:g}", fill=RED)
    picture.line(at(8), 68, at(8), 92, stroke_width=2)
    picture.text(at(8), 60, "8", font_weight="bold")
    picture.text(20, 156, "Half a ULP over the number: at most u = 1/8", "start")
    points = []
    for k in range(3):
        points += [
            (at(2.0**k * (1 + t / 20)), 240 - 70 * (0.125 / (1 + t / 20)) / 0.125)
            for t in range(21)
        ]
    picture.line(40, 240, 690, 240, stroke=FAINT)
    picture.line(40, 170, 690, 170, stroke=RED, stroke_dasharray="5 4")
    picture.text(696, 174, "u", "start", fill=RED)
    picture.text(700, 209, "u/2", fill=FAINT, font_size=12)
    picture.line(40, 205, 685, 205, stroke=FAINT, stroke_dasharray="2 4")
    picture.path(points)
    picture.save("ulp")


def sums() -> None:
    """Errors of float32 sums, in turn, beside both bounds."""
    picture = Picture(720, 400, "Errors of sums of n numbers in float32, and their bounds")
    axes = Axes(picture, (90, 50, 540, 330), (1, 5), (-10, -1))
    axes.draw("terms n", "error / sum of |a|")
    at = np.logspace(1, 5, 60)
    end = axes.curve(lambda n: n * U / (1 - n * U), at, stroke=RED)
    picture.text(end[0] + 8, end[1] + 5, "γₙ = nu / (1 − nu)", "start", fill=RED)
    end = axes.curve(lambda n: 6 * math.sqrt(n) * U, at, stroke=GREEN)
    picture.text(end[0] + 8, end[1] + 5, "6 √n u", "start", fill=GREEN)
    rng = np.random.default_rng(0)
    for color, signed in ((BLUE, True), (INK, False)):
        found = []
        for n in np.unique(np.logspace(1, 5, 25).astype(int)):
            for _ in range(3):
                a = rng.standard_normal(n).astype(np.float32)
                a = a if signed else np.full(n, np.float32(0.1) + abs(a[0]) / 10, np.float32)
                got = float(np.cumsum(a, dtype=np.float32)[-1])
                exact = math.fsum(a.tolist())
                found.append((float(n), abs(got - exact) / float(np.abs(a.astype(float)).sum())))
        axes.dots(found, color)
    picture.add("circle", cx=556, cy=250, r=3, fill=BLUE)
    picture.text(566, 255, "random signs, in turn", "start", font_size=12)
    picture.add("circle", cx=556, cy=272, r=3, fill=INK)
    picture.text(566, 277, "equal terms, in turn", "start", font_size=12)
    picture.save("sums")


def condition() -> None:
    """An interval of inputs becomes an interval of results."""
    picture = Picture(720, 330, "The slope of f carries an input's error into the result")
    for left, name, f in (
        (60, "flat: errors shrink", lambda t: 0.35 + 0.25 * t + 0.06 * math.sin(3 * t)),
        (400, "steep: errors grow", lambda t: 0.06 + 0.9 * t**3),
    ):
        bottom, size = 270, 210
        picture.text(left + size / 2, 30, name, font_weight="bold")
        picture.line(left, bottom, left + size, bottom, stroke=FAINT)
        picture.line(left, bottom, left, bottom - size, stroke=FAINT)
        lo, hi = 0.72, 0.84
        for t, color in ((lo, RED), (hi, RED)):
            x, y = left + t * size, bottom - f(t) * size
            picture.line(x, bottom, x, y, stroke=color, stroke_dasharray="3 3")
            picture.line(left, y, x, y, stroke=color, stroke_dasharray="3 3")
        xs = (left + lo * size, left + hi * size)
        picture.line(xs[0], bottom, xs[1], bottom, stroke=RED, stroke_width=6)
        ys = (bottom - f(lo) * size, bottom - f(hi) * size)
        picture.line(left, ys[0], left, ys[1], stroke=RED, stroke_width=6)
        picture.text(sum(xs) / 2, bottom + 22, "x ± e")
        picture.text(left + 10, min(ys) - 8, "y ± |f′| e", "start", fill=RED)
        points = [(left + t / 40 * size, bottom - f(t / 40) * size) for t in range(41)]
        picture.path(points)
    picture.text(360, 318, "then the result is rounded: + ½ ULP of y, or k ULP for exp, log, …")
    picture.save("condition")


def rho() -> None:
    """A bound, its terms, and errors inside and outside of it."""
    picture = Picture(720, 230, "rho is the measured error over the bound")
    left, width = 150, 400
    terms = (
        ("exp 34 %", 0.34, "#bcd0f5"),
        ("sum 41 %", 0.41, "#d9c7f0"),
        ("÷ 25 %", 0.25, "#c6e7d3"),
    )
    picture.text(140, 63, "bound", "end")
    x = float(left)
    for name, share, fill in terms:
        picture.add("rect", x=x, y=40, width=width * share, height=36, fill=fill, stroke=INK)
        picture.text(x + width * share / 2, 63, name, font_size=12)
        x += width * share
    for y, share, color, name in (
        (110, 0.3, GREEN, "ρ = 0.3: right"),
        (150, 1.0, GREEN, "ρ = 1: the limit"),
        (200, 1.32, RED, "ρ = 1.32: wrong"),
    ):
        picture.text(140, y + 5, "error", "end")
        picture.line(left, y, left + width * share, y, stroke=color, stroke_width=8)
        picture.text(
            left + width * min(share, 1) + 16, y - 11 if share > 1 else y + 5, name, "start"
        )
    picture.line(left + width, 30, left + width, 220, stroke=RED, stroke_dasharray="5 4")
    picture.save("rho")


def differences() -> None:
    """The error of central differences of exp at 1, by step, plain and extrapolated."""
    picture = Picture(720, 400, "Errors of finite differences by step: truncation and noise")
    axes = Axes(picture, (90, 50, 540, 330), (-36, -2), (-48, -4), base=2)
    axes.draw("step h", "error of the slope of exp at 1", (4, 4))
    steps = [2.0**-k for k in range(2, 37)]

    def central(h: float) -> float:
        return float((np.exp(1.0 + h) - np.exp(1.0 - h)) / (2 * h))

    plain = [(h, abs(central(h) - math.e)) for h in steps]
    sharper = [(h, abs((4 * central(h / 2) - central(h)) / 3 - math.e)) for h in steps[:20]]
    axes.curve(lambda h: math.e * h * h / 6, steps, stroke=GREEN, stroke_dasharray="5 4")
    axes.curve(lambda h: math.e * 2.0**-53 / h, steps, stroke=RED, stroke_dasharray="5 4")
    axes.dots(plain, BLUE)
    axes.dots(sharper, INK)
    for y, color, name in (
        (90, GREEN, "truncation |f‴| h² / 6"),
        (114, RED, "noise ε / h"),
        (138, BLUE, "central difference"),
        (162, INK, "extrapolated once"),
    ):
        picture.add("circle", cx=556, cy=y - 5, r=4, fill=color)
        picture.text(566, y, name, "start", font_size=12)
    picture.save("differences")


def impostors() -> None:
    """The right result of a case beside what each impostor would hand in."""
    picture = Picture(720, 250, "Outputs that a judge must tell from the right one")
    rng = np.random.default_rng(3)
    right, stale, copy = (rng.uniform(-1, 1, 6) for _ in range(3))
    shown = (
        ("right", right, GREEN),
        ("zeros", np.zeros(6), RED),
        ("constant", np.full(6, right[0]), RED),
        ("stale", stale, RED),
        ("copy", copy, RED),
        ("nan", None, RED),
    )
    for i, (name, values, color) in enumerate(shown):
        left = 30 + 115 * i
        picture.line(left, 110, left + 90, 110, stroke=FAINT)
        for k, v in enumerate(values if values is not None else ()):
            top = 110 - max(v, 0) * 55
            height = max(abs(v) * 55, 2.0)
            picture.add("rect", x=left + 4 + 14.5 * k, y=top, width=11, height=height, fill=color)
        if values is None:
            picture.text(left + 45, 116, "NaN NaN NaN", fill=RED, font_size=12)
        picture.text(left + 45, 34, name, font_weight="bold")
        picture.text(left + 45, 196, "passes" if name == "right" else "must fail", fill=color)
    picture.text(
        360, 232, "A group whose cases all let one of them pass proves nothing: WEAK, exit 3"
    )
    picture.save("impostors")


def tensor() -> None:
    """What a Tensor consists of."""
    picture = Picture(760, 330, "A Tensor and what lies below it")
    picture.box(20, 30, 150, 80, "Tensor", "op, inputs", "grad, requires_grad")
    picture.box(220, 30, 150, 80, "NDArray", "shape, strides", "offset, dtype")
    picture.box(220, 170, 150, 50, "NDArray", "a view: x.T, x[2:]")
    picture.box(420, 30, 150, 80, "Storage", "block of memory", "reference count")
    picture.box(620, 30, 120, 80, "Device", "name, index")
    picture.box(500, 190, 110, 60, "Allocator", "guards, statistics")
    picture.box(640, 190, 100, 60, "Backend", "kernels")
    picture.box(640, 272, 100, 46, "Runtime", "streams, graphs")
    for x in (170, 370, 570):
        picture.arrow(x, 70, x + 50, 70)
    picture.arrow(370, 195, 440, 110)
    picture.arrow(660, 110, 570, 190)
    picture.arrow(690, 110, 690, 190)
    picture.arrow(690, 250, 690, 272)
    picture.text(95, 136, "Python", fill=FAINT)
    picture.text(295, 136, "C++ value", fill=FAINT)
    picture.text(495, 136, "shared", fill=FAINT)
    picture.text(20, 240, "Views share the storage.", "start", fill=INK)
    picture.text(20, 260, "A Tensor keeps its inputs alive:", "start", fill=INK)
    picture.text(20, 280, "that is the graph.", "start", fill=INK)
    picture.save("tensor")


def flow() -> None:
    """A call, its gradient, and a run of verify."""
    picture = Picture(760, 390, "How data flows through needle and needle-verify")
    rows = (
        (24, "A call", ("Op.compute", "csrc/bind", "csrc/core", "Backend"), ""),
        (140, "Backward", ("loss.backward", "reverse.py", "Op.gradient", "leaf.grad"), ""),
        (256, "A run", ("plan", "worker", "judges", "results"), ""),
    )
    says = {
        "Op.compute": "needle/ops",
        "csrc/bind": "Python → C++",
        "csrc/core": "shapes, views",
        "Backend": "cpu, cuda, …",
        "loss.backward": "cotangent 1",
        "reverse.py": "counts uses",
        "Op.gradient": "ops again",
        "leaf.grad": "the sum",
        "plan": "cases, ids",
        "worker": "one per device",
        "judges": "ρ = error / bound",
        "results": "table, page, gate",
    }
    for y, name, boxes, _ in rows:
        picture.text(20, y + 32, name, "start", font_weight="bold")
        for i, box in enumerate(boxes):
            x = 120 + 160 * i
            picture.box(x, y, 130, 54, box, says[box])
            if i:
                picture.arrow(x - 30, y + 27, x, y + 27)
    picture.path([(505.0, 140.0), (505.0, 110.0), (185.0, 110.0)], stroke=INK, stroke_width=1)
    picture.arrow(185, 110, 185, 78)
    picture.text(345, 104, "gradients are made of calls", font_size=12)
    picture.box(330, 342, 110, 32, "target", fill="#dbe7fb")
    picture.box(570, 342, 110, 32, "reference", fill="#dbe7fb")
    picture.arrow(400, 342, 480, 310)
    picture.arrow(610, 342, 530, 310)
    picture.save("flow")


def draw() -> None:
    """All of them."""
    for picture in (ulp, sums, condition, rho, differences, impostors, tensor, flow):
        picture()


if __name__ == "__main__":
    draw()
