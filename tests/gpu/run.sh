#!/usr/bin/env bash
# Everything that only a machine with a GPU can show: builds needle for its GPU, runs the CUDA tests, verifies cuda
# beside cpu, and runs a smoke test under compute-sanitizer. Reports go to the folder $1 (default reports/<gpu name>/).
#
#   tests/gpu/run.sh [REPORTS]
#
# WHEELS=DIR   install Python packages from the wheels in DIR into an environment of its own (a machine without
#              network); otherwise the packages of the python on PATH are used.
# PYTHON=EXE   the python to use (python3).
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader --id=0)
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader --id=0)
reports=${1:-reports/$(tr ' ' '-' <<<"${gpu,,}")}
mkdir -p "$reports"

failed=()

# step NAME COMMAND...: runs it, keeps its output in NAME.txt, and goes on after a failure.
step() {
  local name=$1 status=0
  shift
  echo "== $name: $*"
  "$@" >"$reports/$name.txt" 2>&1 || status=$?
  tail -n 5 "$reports/$name.txt"
  if [ "$status" -ne 0 ]; then
    failed+=("$name (exit $status)")
  fi
}

if [ -n "${WHEELS:-}" ]; then
  environment=$(mktemp -d)
  trap 'rm -rf "$environment"' EXIT
  "$python" -m venv "$environment"
  python=$environment/bin/python
  "$python" -m pip install --quiet --no-index --find-links "$WHEELS" \
    scikit-build-core pybind11 cmake ninja numpy ml_dtypes torch rich pytest pytest-timeout hypothesis mpmath
fi
PATH=$(dirname "$("$python" -c 'import sys; print(sys.executable)')"):$PATH

{
  nvidia-smi
  nvcc --version
  "$python" --version
  "$python" -m pip list --format=freeze
} >"$reports/machine.txt"

CMAKE_ARGS="-DNEEDLE_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=${capability/./}" \
  "$python" -m pip install --no-build-isolation --no-deps -e .

step tests "$python" -m pytest tests -k cuda -p no:cacheprovider --junit-xml="$reports/tests.xml"
step checked env NEEDLE_CHECKED=1 "$python" tests/gpu/smoke.py
rm -f "$reports/verify.jsonl"
step verify "$python" -m verify --device cuda,cpu --json "$reports/verify.jsonl"
step plugin "$python" -m verify --plugin docs/examples/cuda_kernel.py --op row_norms --device cuda
step planted "$python" tests/gpu/planted.py "$reports"
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" tests/gpu/smoke.py
  done
else
  failed+=("compute-sanitizer is not installed")
fi

if [ "${#failed[@]}" -ne 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all good on $gpu; reports in $reports"
