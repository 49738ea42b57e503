"""NDArray, its devices and its functions (imported as `nd`)."""

# ruff: noqa: F403
from needle.backend_ndarray.ndarray import *
