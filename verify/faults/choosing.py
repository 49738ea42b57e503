"""Which faults: by id, kind, language, path; some of them by chance."""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from verify.faults.fault import KINDS, Fault
from verify.plan import require_known
from verify.spec import UsageError


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for; what is empty stands for everything."""

    ids: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()  # of fault.language
    paths: tuple[str, ...] = ()  # globs

    def of(self, faults: Sequence[Fault]) -> list[Fault]:
        """The faults that fit, in order. Raises: UsageError for a name that does not exist."""
        ids = {fault.id for fault in faults}
        for name in self.ids:
            require_known("fault", name, sorted(ids))
        for kind in self.kinds:
            require_known("kind", kind, KINDS)
        for pattern in self.paths:
            if not fnmatch.filter({fault.path for fault in faults}, pattern):
                require_known("path", pattern, sorted({fault.path for fault in faults}))
        return [
            fault
            for fault in faults
            if (not self.ids or fault.id in self.ids)
            and (not self.kinds or fault.kind in self.kinds)
            and (not self.languages or fault.language in self.languages)
            and (not self.paths or any(fnmatch.fnmatchcase(fault.path, p) for p in self.paths))
        ]


def sample(faults: Sequence[Fault], n: int, seed: int) -> list[Fault]:
    """n faults, of every language and kind in turn; the same for a seed wherever others change."""
    if n < 1:
        raise UsageError(f"[sample] at least one fault, got sample={n}")

    def drawn(fault: Fault) -> bytes:
        return hashlib.blake2b(f"{seed}/{fault.id}".encode(), digest_size=8).digest()

    strata: dict[tuple[str, str], list[Fault]] = {}
    for fault in sorted(faults, key=drawn):
        strata.setdefault((fault.language, fault.kind), []).append(fault)
    turns = itertools.zip_longest(*(strata[key] for key in sorted(strata)))
    chosen = {f.id for f in itertools.islice((f for turn in turns for f in turn if f), n)}
    return [fault for fault in faults if fault.id in chosen]
