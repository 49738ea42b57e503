"""needle-verify: judges every op of a library against independent references, under derived bounds.

Importing this package imports neither torch nor the library under test; only workers do, and
`verify.check`, which judges a function of yours.
"""

from typing import TYPE_CHECKING, Any

from verify.spec import Case, Domain, Exit, Sample, Status, UsageError, Verdict

if TYPE_CHECKING:
    from verify.api import Report, check
    from verify.custom import row
    from verify.registry.planning import refuses, sample

__all__ = [
    "Case",
    "Domain",
    "Exit",
    "Report",
    "Sample",
    "Status",
    "UsageError",
    "Verdict",
    "check",
    "refuses",
    "row",
    "sample",
]


def __getattr__(name: str) -> Any:
    if name in ("Report", "check"):
        from verify import api

        return getattr(api, name)
    if name in ("refuses", "sample"):
        from verify.registry import planning

        return getattr(planning, name)
    if name == "row":
        from verify import custom

        return custom.row
    raise AttributeError(f"module 'verify' has no attribute {name!r}")
