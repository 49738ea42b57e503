"""Pictures as SVG text: boxes and arrows, and plots with axes. No package needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

INK, FAINT, BLUE, RED, GREEN, SAND = (
    "#1f2933",
    "#9aa5b1",
    "#2563c9",
    "#c2362b",
    "#2f855a",
    "#f3e9d2",
)
IMAGES = Path(__file__).resolve().parents[1] / "images"


class Picture:
    """Shapes in the order in which they are drawn, on a white ground."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []

    def add(self, tag: str, text: str = "", **attributes: object) -> None:
        """An element; underscores of names stand for hyphens."""
        given = " ".join(
            f'{name.rstrip("_").replace("_", "-")}="{_short(value)}"'
            for name, value in attributes.items()
        )
        self.parts.append(f"<{tag} {given}>{escape(text)}</{tag}>" if text else f"<{tag} {given}/>")

    def text(self, x: float, y: float, text: str, anchor: str = "middle", **more: object) -> None:
        """A line of text."""
        self.add("text", text, x=x, y=y, text_anchor=anchor, **{"fill": INK, **more})

    def line(self, x1: float, y1: float, x2: float, y2: float, **more: object) -> None:
        """A straight line."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": INK, **more})

    def arrow(self, x1: float, y1: float, x2: float, y2: float, **more: object) -> None:
        """A line with a head at its end."""
        self.line(x1, y1, x2, y2, marker_end="url(#head)", **more)

    def path(self, points: Sequence[tuple[float, float]], **more: object) -> None:
        """A line through points."""
        d = "M" + " L".join(f"{_short(x)} {_short(y)}" for x, y in points)
        self.add("path", d=d, **{"fill": "none", "stroke": BLUE, "stroke_width": 2, **more})

    def box(
        self, x: float, y: float, width: float, height: float, *lines: str, **more: object
    ) -> None:
        """A box with lines of text: the first is its name."""
        rectangle = {"rx": 5, "fill": SAND, "stroke": INK, **more}
        self.add("rect", x=x, y=y, width=width, height=height, **rectangle)
        top = y + height / 2 - 8.5 * (len(lines) - 1) + 5
        for i, line in enumerate(lines):
            weight = {"font_weight": "bold"} if i == 0 else {"font_size": 12}
            self.text(x + width / 2, top + 17 * i, line, **weight)

    def save(self, name: str) -> None:
        """Write docs/images/NAME.svg."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" '
            f'font-family="Helvetica, Arial, sans-serif" font-size="14">\n'
            f"<title>{escape(self.title)}</title>\n"
            '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" '
            f'orient="auto"><path d="M0 0 L9 4 L0 8 Z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#ffffff"/>\n'
        )
        (IMAGES / f"{name}.svg").write_text(head + "\n".join(self.parts) + "\n</svg>\n")


class Axes:
    """A frame of a picture with logarithmic axes, in powers of a base."""

    def __init__(
        self,
        picture: Picture,
        frame: tuple[float, float, float, float],
        x: tuple[float, float],
        y: tuple[float, float],
        base: int = 10,
    ) -> None:
        """frame: left, top, right, bottom; x, y: the exponents at their ends."""
        self.picture, self.frame, self.x, self.y, self.base = picture, frame, x, y, base

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies."""
        left, top, right, bottom = self.frame
        share_x = (math.log(x, self.base) - self.x[0]) / (self.x[1] - self.x[0])
        share_y = (math.log(y, self.base) - self.y[0]) / (self.y[1] - self.y[0])
        return left + share_x * (right - left), bottom - share_y * (bottom - top)

    def draw(self, x_name: str, y_name: str, every: tuple[int, int] = (1, 1)) -> None:
        """Frame, ticks and names."""
        left, top, right, bottom = self.frame
        for k in range(math.ceil(self.x[0]), math.floor(self.x[1]) + 1, every[0]):
            x = left + (k - self.x[0]) / (self.x[1] - self.x[0]) * (right - left)
            self.picture.line(x, top, x, bottom, stroke="#e4e7eb")
            self._power(x, bottom + 18, k, "middle")
        for k in range(math.ceil(self.y[0]), math.floor(self.y[1]) + 1, every[1]):
            y = bottom - (k - self.y[0]) / (self.y[1] - self.y[0]) * (bottom - top)
            self.picture.line(left, y, right, y, stroke="#e4e7eb")
            self._power(left - 8, y + 5, k, "end")
        self.picture.add(
            "rect",
            x=left,
            y=top,
            width=right - left,
            height=bottom - top,
            fill="none",
            stroke=FAINT,
        )
        self.picture.text((left + right) / 2, bottom + 40, x_name)
        self.picture.text(left, top - 10, y_name, "start")

    def curve(
        self, f: Callable[[float], float], at: Sequence[float], **more: object
    ) -> tuple[float, float]:
        """A function's curve, where it lies within the frame; its last point."""
        points = [self.at(x, f(x)) for x in at]
        inside = [p for p in points if self.frame[1] <= p[1] <= self.frame[3]]
        self.picture.path(inside, **more)
        return inside[-1]

    def dots(self, points: Sequence[tuple[float, float]], color: str) -> None:
        """Measured points."""
        for x, y in points:
            if y > 0 and (place := self.at(x, y))[1] <= self.frame[3]:
                cx, cy = place
                self.picture.add("circle", cx=cx, cy=cy, r=3, fill=color)

    def _power(self, x: float, y: float, k: int, anchor: str) -> None:
        digits = str(k).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        self.picture.text(x, y, f"{self.base}{digits}", anchor, font_size=12)


def _short(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else escape(str(value))
