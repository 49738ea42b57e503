"""Where native faults may be: files, functions, statements; and what a fault changes there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from verify.faults import cpp
from verify.faults.cpp import Function


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands between two places becomes `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """A fault in one file, before it has an id and a number."""

    function: str
    kind: str
    switched: tuple[Edit, ...]  # what is compiled; @ stands for the switch, 0 or 1
    plain: tuple[Edit, ...]  # what a diff shows

    @property
    def start(self) -> int:
        """Where it begins."""
        return min(edit.start for edit in (*self.switched, *self.plain))


# Files that rules look at, by language: the kernels, and the core's shapes and indices.
RULED = (
    "csrc/core/compute.cc",
    "csrc/core/conv.cc",
    "csrc/core/copies.cc",
    "csrc/core/dims.cc",
    "csrc/core/dtype.h",
    "csrc/core/formulas.h",
    "csrc/core/indexing.cc",
    "csrc/core/joining.cc",
    "csrc/core/layout.cc",
    "csrc/core/ndarray.cc",
    "csrc/core/pool.cc",
    "csrc/core/row_layout.h",
    "csrc/core/rows.cc",
    "csrc/core/selection.cc",
    "csrc/core/steps.cc",
    "csrc/core/steps.h",
    "csrc/core/view.h",
    "csrc/core/views.cc",
    "csrc/cpu/backend.cc",
    "csrc/cpu/cascade.h",
    "csrc/cpu/conv.cc",
    "csrc/cpu/conv_axis.h",
    "csrc/cpu/conv_gather.h",
    "csrc/cpu/conv_grad_weight.cc",
    "csrc/cpu/conv_winograd.cc",
    "csrc/cpu/conv_winograd.h",
    "csrc/cpu/copy.cc",
    "csrc/cpu/elementwise.cc",
    "csrc/cpu/gemm.cc",
    "csrc/cpu/gemm_block.cc",
    "csrc/cpu/gemm_block.h",
    "csrc/cpu/gemm_pack.cc",
    "csrc/cpu/gemm_parallel.h",
    "csrc/cpu/gemm_vector.cc",
    "csrc/cpu/lanes.cc",
    "csrc/cpu/loops.h",
    "csrc/cpu/math.h",
    "csrc/cpu/math_special.h",
    "csrc/cpu/pool.cc",
    "csrc/cpu/powers.h",
    "csrc/cpu/reduce.cc",
    "csrc/cpu/reduce_plan.h",
    "csrc/cpu/reduce_task.h",
    "csrc/cpu/row.h",
    "csrc/cpu/row_place.h",
    "csrc/cpu/row_walk.h",
    "csrc/cpu/rows.h",
    "csrc/cpu/select.cc",
    "csrc/cpu/softmax.cc",
    "csrc/cpu/standardize.cc",
    "csrc/cpu/standardize_places.h",
    "csrc/cpu/steps.cc",
    "csrc/cpu/transpose.h",
    "csrc/cuda/backend.cu",
    "csrc/cuda/conv.cu",
    "csrc/cuda/conv_operands.cuh",
    "csrc/cuda/copy.cu",
    "csrc/cuda/elementwise.cu",
    "csrc/cuda/gemm.cuh",
    "csrc/cuda/lanes.cu",
    "csrc/cuda/lanes.cuh",
    "csrc/cuda/launch.cuh",
    "csrc/cuda/map.cuh",
    "csrc/cuda/map_kernels.cuh",
    "csrc/cuda/maths.cuh",
    "csrc/cuda/matmul.cu",
    "csrc/cuda/nest.cuh",
    "csrc/cuda/pool.cu",
    "csrc/cuda/reduce.cu",
    "csrc/cuda/reduce_plan.cuh",
    "csrc/cuda/rows.cuh",
    "csrc/cuda/scan.cu",
    "csrc/cuda/select.cu",
    "csrc/cuda/softmax.cu",
    "csrc/cuda/standardize.cu",
    "csrc/cuda/steps.cu",
    "csrc/cuda/storage.cuh",
)
# Functions without faults: what they prevent happens with more elements than the simulator has.
EXEMPT = ("csrc/cuda/conv.cu:is_small",)  # 32 bits that overflow: 2^31 pixels, padding among them
# Text for people, and what is not judged: the size of memory, what every import of needle executes.
_TALK = (
    *("str", "repr", "message", "refusal", "pair", "checked_size", "require_representable"),
    "choose",
)
# Statements in which no switch can stand, or that only report.
_BARRED = re.compile(
    r"\bconstexpr\b|static_assert|\bthrow\b|message\(|\"|\bcase\b|\busing\b|prefetch|overflow|"
    r"\btemplate\b|\bdecltype\b|#|\bstd::string\b|\bnullptr\b|__launch_bounds__"
)


class Source(cpp.Source):
    """A file as the rules see it."""

    def open_to(self, at: int) -> Function | None:
        """The function in which a place may be changed, None where it may not."""
        function = self.function_at(at)
        if function is None or "constexpr" in function.head:
            return None
        if f"{self.path}:{function.name}" in EXEMPT:
            return None
        if function.name.rpartition("::")[2] in _TALK or _BARRED.search(self.statement(at)):
            return None
        return function
