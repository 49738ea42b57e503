"""A planted fault: a small change of one place in the source, and its id."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass

KINDS = {  # of fault, in the order of reports
    "sign": "a sign flipped",
    "dropped": "a term, factor, statement or call left out",
    "swapped": "operands, or what a call gives, in the wrong order",
    "axis": "another axis, or order of axes",
    "broadcast": "the sum over broadcast axes left out",
    "constant": "a constant off by one, or doubled",
    "comparison": "a comparison that holds elsewhere",
    "eps": "a guard against zero or overflow left out",
    "variance": "the biased estimate for the unbiased one, or the reverse",
    "correction": "a wrong bias correction",
    "off-by-one": "an index or a bound off by one",
    "transposed": "a factor or a weight transposed",
    "detached": "an input, or a part of the gradient, cut off the graph",
    "tail": "the last block, or the rest of a vector, dropped",
    "stride": "a wrong stride or offset",
    "barrier": "a barrier or a wait left out",
    "precision": "accumulation in lower precision",
    "unwritten": "elements of the result left as they were",
    "stale": "a result, or a part of one, of an earlier call",
    "rare": "one wrong element among very many",
    "race": "threads that write to one place",
    "denormal": "denormal numbers flushed to zero",
    "damage": "an input changed",
    "outside": "a read or a write outside of an array",
    "leak": "memory or a graph kept",
}


# Of the core, what only devices with memory of their own, or that compute in 16 bits, execute.
ELSEWHERE = (
    "csrc/core/copies.cc:NDArray::to:dropped:1",
    "csrc/core/dtype.h:visit_floating:dropped:1",
    "csrc/core/selection.cc:checked_index:dropped:1",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One place and what is done to it.

    The id is path:function:kind:number, where the number counts the faults of that kind in that
    function from above: it stays when lines move.
    """

    id: str
    path: str  # of the source file, from the root of the repository
    line: int  # the first line that differs, from 1
    before: str  # the whole lines concerned, as they are
    after: str  # the same lines with the fault

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return self.id.rsplit(":", 2)[1]

    @property
    def function(self) -> str:
        """The function or method that it is in, with its class."""
        return self.id.rsplit(":", 2)[0].partition(":")[2]

    @property
    def language(self) -> str:
        """python, cpu (with the core that every device uses) or cuda_sim."""
        if self.path.startswith("needle/"):
            return "python"
        simulated = self.path.startswith("csrc/cuda/") or self.id in ELSEWHERE
        return "cuda_sim" if simulated else "cpu"

    @property
    def change(self) -> str:
        """Eight hexadecimal digits of the lines before and after."""
        both = f"{self.before}\0{self.after}".encode()
        return hashlib.blake2b(both, digest_size=4).hexdigest()

    def diff(self) -> str:
        """A unified diff."""
        before, after = self.before.rstrip("\n").split("\n"), self.after.rstrip("\n").split("\n")
        names = (f"a/{self.path}", f"b/{self.path}")
        hunk = difflib.unified_diff(before, after, *names, lineterm="", n=len(before))
        header = f"@@ -{self.line},{len(before)} +{self.line},{len(after)} @@"
        return "\n".join(header if text.startswith("@@") else text for text in hunk) + "\n"
