"""needle against torch in one process: `needle-verify bench` under its older name.

python tests/benchmarks/ratios.py --json reports/speed.json --threads 1 2 --family matmul
"""

from __future__ import annotations

import sys

from verify.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
