"""What the judges ask of a subject, whoever computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from verify.sampling import Array, Laid


class Target(Protocol):
    """A subject on the inputs of a case; raises Missing and Broken, or whatever the subject does.

    forward, vjp and evaluate are what forward, vjp and fd need; the other two may raise Missing.
    """

    def forward(self) -> list[Array]:
        """The results."""

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input; `alone` may be asked again."""

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly: for finite differences."""

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """The gradient of <directions, vjp> with respect to the inputs and the cotangents."""

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """The VJP at other values, laid out compactly: for differences of it."""

    def refusal(self, mixture: str) -> Exception | None:
        """What it raises for these inputs."""
