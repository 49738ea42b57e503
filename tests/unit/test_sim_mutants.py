"""Bugs planted in the CUDA kernels, each found by the kernels' test on the simulator.

A mutant is the real source with one line changed: a barrier removed, a store or load off by one,
a wrong index. Its files are compiled by the host compiler and linked with the unchanged rest into
`tests/native/sim/kernels_test.cc`, which must then fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CXX = os.environ.get("CXX", "g++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(CXX) is None, reason=f"needs a C++ compiler ({CXX})"),
]


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str

    def units(self) -> list[str]:
        """The kernel files that the change reaches."""
        users = {
            "gemm.cuh": ["matmul.cu", "conv.cu"],
            "conv_operands.cuh": ["conv.cu"],
            "map_kernels.cuh": ["elementwise.cu", "copy.cu"],
            "nest.cuh": [
                *("elementwise.cu", "copy.cu", "reduce.cu", "matmul.cu", "select.cu"),
                *("lanes.cu", "scan.cu"),
            ],
            "lanes.cuh": ["lanes.cu", "scan.cu"],
            "reduce_plan.cuh": ["reduce.cu"],
        }
        return users.get(self.file, [self.file])


MUTANTS = [
    Mutant(
        "gemm-no-barrier-before-store",
        "gemm.cuh",
        "__syncthreads();  // the last step's readers are done with the tiles",
        "",
    ),
    Mutant(
        "gemm-no-barrier-after-store",
        "gemm.cuh",
        "__syncthreads();\n    if (!busy) continue;",
        "if (!busy) continue;",
    ),
    Mutant(
        "gemm-divergent-barrier",
        "gemm.cuh",
        "__syncthreads();\n    if (!busy) continue;",
        "if (!busy) continue;\n    __syncthreads();",
    ),
    Mutant("gemm-store-off-by-one", "gemm.cuh", "if (m < a.lanes()", "if (m <= a.lanes()"),
    Mutant("gemm-load-off-by-one", "gemm.cuh", "k + step + i < depth", "k + step + i <= depth"),
    Mutant("gemm-wrong-column", "gemm.cuh", "first_n + column + j;", "first_n + column;"),
    Mutant("matmul-wrong-tile", "matmul.cu", "blockIdx.x % tiles", "blockIdx.x / tiles"),
    Mutant("matmul-batch-of-left", "matmul.cu", "left.data += at.of[1]", "left.data += at.of[0]"),
    Mutant(
        "reduce-rows-no-barrier",
        "reduce.cu",
        "__syncthreads();\n    if (threadIdx.x == 0)",
        "if (threadIdx.x == 0)",
    ),
    Mutant(
        "reduce-columns-no-barrier", "reduce.cu", "__syncthreads();\n    if (y < d)", "if (y < d)"
    ),
    Mutant(
        "reduce-last-shuffle-missing",
        "reduce.cu",
        "for (unsigned d = lanes / 2; d > 0;",
        "for (unsigned d = lanes / 2; d > 1;",
    ),
    Mutant("reduce-rows-share-results", "reduce.cu", " + threadIdx.y * (blockDim.x / kWarp);", ";"),
    Mutant(
        "reduce-first-warp-only",
        "reduce.cu",
        "for (unsigned w = 1; w < blockDim.x / kWarp;",
        "for (unsigned w = 1; w < 1;",
    ),
    Mutant(
        "reduce-slice-overlap",
        "reduce_plan.cuh",
        "return s * slice;",
        "return s * slice - (s > 0);",
    ),
    Mutant(
        "reduce-packs-of-columns-in-one-place",
        "reduce.cu",
        "out + k * p.output_stride",
        "out + k",
    ),
    Mutant("map-store-off-by-one", "map_kernels.cuh", "if (i >= n) return;", "if (i > n) return;"),
    Mutant(
        "map-pack-past-end",
        "map_kernels.cuh",
        "first + size <= rows.length",
        "first < rows.length",
    ),
    Mutant(
        "map-repeated-element-walked",
        "map_kernels.cuh",
        "(rows.still >> k & 1u ? 0 : first)",
        "first",
    ),
    Mutant("map-tile-no-barrier", "map_kernels.cuh", "__syncthreads();", ""),
    Mutant(
        "map-tile-not-turned",
        "map_kernels.cuh",
        "return tile.of[k][threadIdx.x][y];",
        "return tile.of[k][y][threadIdx.x];",
    ),
    Mutant("map-wrong-operand", "map_kernels.cuh", "at.of[k + 1]]", "at.of[1]]"),
    Mutant("nest-wrong-remainder", "nest.cuh", "number - rest * shape[d].value", "number - rest"),
    Mutant("nest-quotient-too-small", "nest.cuh", "excess / n + 1", "excess / n"),
    Mutant(
        "conv-reads-below-image", "conv_operands.cuh", "row >= g.height ||", "row > g.height ||"
    ),
    Mutant("conv-stride-not-divided", "conv_operands.cuh", "row * g.stride[0] != down ||", ""),
    Mutant(
        "conv-group-of-filters",
        "conv.cu",
        "Columns<T, I> right{w + group * g.filters",
        "Columns<T, I> right{w + group * g.channels",
    ),
    Mutant(
        "where-operands-exchanged",
        "select.cu",
        "chosen(mask[at.of[1]]) ? a[at.of[2]] : b[at.of[3]]",
        "chosen(mask[at.of[1]]) ? b[at.of[3]] : a[at.of[2]]",
    ),
    Mutant("gather-axis-not-scaled", "select.cu", "index[at.of[1]] * along]", "index[at.of[1]]]"),
    Mutant(
        "scatter-overwrites",
        "lanes.cu",
        "place[k] * lanes.step[0]] +=",
        "place[k] * lanes.step[0]] =",
    ),
    Mutant(
        "lanes-store-past-end",
        "lanes.cu",
        "if (lane >= lanes.tasks()) return;",
        "if (lane > lanes.tasks()) return;",
    ),
    Mutant("lanes-slice-too-long", "lanes.cuh", ": begin(s) + slice;", ": begin(s) + slice + 1;"),
    Mutant("cumsum-never-reversed", "scan.cu", "if (reversed) {", "if (false) {"),
    Mutant(
        "cumsum-slices-not-joined",
        "scan.cu",
        "slice == 0 ? -T{} : before",
        "true ? -T{} : before",
    ),
    Mutant(
        "cumsum-carries-last-but-one",
        "scan.cu",
        "__shfl_sync(~0u, x[k], kLaneWarp - 1)",
        "__shfl_sync(~0u, x[k], kLaneWarp - 2)",
    ),
    Mutant("argmax-last-of-equals", "lanes.cu", "(tied && where < place)", "tied"),
    Mutant("argmax-passes-over-nan", "lanes.cu", "(nan && !held_nan) ||", ""),
    Mutant(
        "argmax-place-within-slice",
        "lanes.cu",
        "lanes.begin(slice) + thread; first < end",
        "thread; first < end - lanes.begin(slice)",
    ),
    Mutant(
        "pool-window-begins-in-padding",
        "pool.cu",
        "return start < 0 ? 0 : start;",
        "return start;",
    ),
    Mutant(
        "pool-window-past-border",
        "pool.cu",
        "return stop < size[axis] ? stop : size[axis];",
        "return stop <= size[axis] ? stop : size[axis] + 1;",
    ),
    Mutant(
        "pool-sum-not-divided", "pool.cu", "narrow<T>(sum / window.divisor())", "narrow<T>(sum)"
    ),
    Mutant("pool-padding-always-divides", "pool.cu", "g.inside ? inside() : whole()", "whole()"),
    Mutant(
        "pool-row-stride-of-results",
        "pool.cu",
        "std::int64_t{h} * g.size[1] * g.channels",
        "std::int64_t{h} * g.out[1] * g.channels",
    ),
    Mutant(
        "pool-stride-of-other-axis",
        "pool.cu",
        "const int stop = window * stride[axis]",
        "const int stop = window * stride[1 - axis]",
    ),
    Mutant("pool-columns-not-by-channels", "pool.cu", "row[w * g.channels]", "row[w]"),
    Mutant(
        "pool-grad-first-window-missing",
        "pool.cu",
        "return reach < 0 ? 0 : reach / stride[axis] + 1;",
        "return reach < 0 ? 1 : reach / stride[axis] + 1;",
    ),
    Mutant(
        "pool-grad-window-past-the-last",
        "pool.cu",
        "return last < out[axis] ? last : out[axis];",
        "return last;",
    ),
    Mutant("pool-grad-ties-not-shared", "pool.cu", "parts = window.ties(best);", "parts = 1;"),
    Mutant(
        "pool-grad-to-all",
        "pool.cu",
        "if (own != best && own == own) continue;",
        "",
    ),
    Mutant(
        "pool-grad-of-first-image",
        "pool.cu",
        "dy += place.image * (std::int64_t{g.out[0]} * g.out[1] * g.channels) + place.channel;",
        "dy += place.channel;",
    ),
    Mutant(
        "copy-stride-not-in-bytes",
        "copy.cu",
        "views[1].strides[d] *= item;",
        "views[1].strides[d] *= 1;",
    ),
]


def compile_unit(source: Path, tree: Path, target: Path) -> None:
    """-Werror=switch: an op that the test's own formulas leave out would be accused."""
    subprocess.run(
        [
            CXX, "-std=c++20", "-O0", "-Werror=switch",
            "-x", "c++", "-c", str(source), "-o", str(target),
            "-DNEEDLE_NS=needle_cuda_sim", "-DNEEDLE_SIM=1",
            f"-I{tree / 'csrc/cuda/sim'}", f"-I{tree / 'csrc'}",
        ],
        check=True,
    )  # fmt: skip


def run_linked(objects: list[Path], program: Path) -> subprocess.CompletedProcess[str]:
    subprocess.run([CXX, *map(str, objects), "-o", str(program)], check=True)
    return subprocess.run([str(program)], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The unchanged object files by the names of their sources."""
    folder = tmp_path_factory.mktemp("objects")
    cuda = ROOT / "csrc/cuda"
    sources = [
        *cuda.glob("*.cu"),
        *cuda.glob("sim/*.cc"),
        ROOT / "tests/native/sim/kernels_test.cc",
    ]
    compiled = {source.name: folder / f"{source.name}.o" for source in sources}
    for source in sources:
        compile_unit(source, ROOT, compiled[source.name])
    return compiled


def test_sim_accepts_the_kernels(objects: dict[str, Path], tmp_path: Path) -> None:
    result = run_linked(list(objects.values()), tmp_path / "kernels_test")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_sim_finds_planted_bug(mutant: Mutant, objects: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    changed = tmp_path / "csrc/cuda" / mutant.file
    text = changed.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} no longer holds the line to change"
    changed.write_text(text.replace(mutant.old, mutant.new))
    linked = dict(objects)
    for unit in mutant.units():
        linked[unit] = tmp_path / f"{unit}.o"
        compile_unit(tmp_path / "csrc/cuda" / unit, tmp_path, linked[unit])
    result = run_linked(list(linked.values()), tmp_path / "kernels_test")
    assert result.returncode != 0, "every check passed with the bug in place"
