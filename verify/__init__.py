"""needle-verify: judges every op of a library against independent references, under derived bounds.

Importing this package imports neither torch nor the library under test; only workers do.
"""

from verify.spec import Case, Exit, Sample, Status, UsageError, Verdict

__all__ = ["Case", "Exit", "Sample", "Status", "UsageError", "Verdict"]
