"""Random transforms of H x W x C images; numpy's global generator is the source, so that
np.random.seed reproduces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from needle.backend_ndarray.checks import integers, real

Image = npt.NDArray[Any]


def _check_image(op: str, img: Any) -> None:
    if np.ndim(img) != 3:
        raise ValueError(f"[{op}] an image is H x W x C, got shape={np.shape(img)}")


class RandomFlipHorizontal:
    """Mirrors the width with probability p; one `np.random.rand()` an image.

    Raises: ValueError unless 0 <= p <= 1 and the image has three axes.
    """

    def __init__(self, p: float = 0.5) -> None:
        real("RandomFlipHorizontal", "p", p)
        if not 0 <= p <= 1:
            raise ValueError(f"[RandomFlipHorizontal] p is a probability, got p={p}")
        self.p = p

    def __call__(self, img: Image) -> Image:
        _check_image("RandomFlipHorizontal", img)
        return np.flip(img, axis=1) if np.random.rand() < self.p else img


class RandomCrop:
    """Shifts an image by up to `padding` pixels, filling with zeros; one `np.random.randint(...,
    size=2)` an image, rows first.

    Raises: ValueError unless padding >= 0 and the image has three axes.
    """

    def __init__(self, padding: int = 3) -> None:
        if integers("RandomCrop", padding=padding)[0] < 0:
            raise ValueError(f"[RandomCrop] padding must not be negative, got padding={padding}")
        self.padding = padding

    def __call__(self, img: Image) -> Image:
        _check_image("RandomCrop", img)
        rows, columns = np.random.randint(low=-self.padding, high=self.padding + 1, size=2)
        p = self.padding
        padded = np.pad(img, ((p, p), (p, p), (0, 0)))
        height, width = img.shape[:2]
        return padded[p + rows : p + rows + height, p + columns : p + columns + width]
