"""Where NVIDIA's libraries for CUDA may lie: Python's packages first, which torch brings too."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

_IN_PACKAGES = ("cu13/lib", "cudnn/lib", "cublas/lib")
_TOOLKIT = Path("/usr/local")


def folders() -> list[str]:
    """Folders that exist, best first; the loader's own come after them."""
    try:
        packages = importlib.util.find_spec("nvidia")
    except ValueError:  # a module of that name that says nothing of where it is
        packages = None
    roots = map(Path, (packages.submodule_search_locations if packages else None) or ())
    named = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    toolkits = [*map(Path, named), *sorted(_TOOLKIT.glob("cuda*"), reverse=True)]
    found = [root / part for root in roots for part in _IN_PACKAGES]
    found += [root / "lib64" for root in toolkits]
    return list(dict.fromkeys(str(path) for path in found if path.is_dir()))
