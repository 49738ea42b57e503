#!/usr/bin/env bash
# Everything that only a machine with a GPU can show: builds needle for its GPU, runs the CUDA tests and the sanitizers,
# verifies cuda, measures every function's accuracy and every op's speed beside torch. Reports go to the folder $1
# (default reports/<gpu name>/).
#
#   tests/gpu/run.sh [REPORTS]
#
# STEPS="..."  only some of: tests smoke sanitizers planted verify accuracy speed (all)
# WHEELS=DIR   install Python packages from the wheels in DIR into an environment of its own (a machine without
#              network); otherwise the packages of the python on PATH are used.
# PYTHON=EXE   the python to use (python3).
# JOBS=N       workers of verify. Processes take turns on a GPU, which more of them make slower; where NVIDIA's MPS can
#              be started they share it (8; 1 without).
# BUDGET=...   of verify (default); TARGET=S seconds of a round of a side in speed (0.005).
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
steps=" ${STEPS:-tests smoke sanitizers planted verify accuracy speed} "
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader --id=0)
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader --id=0)
reports=${1:-reports/$(tr ' ' '-' <<<"${gpu,,}")}
mkdir -p "$reports"

failed=()
environment=
cleanup() {
  if [ -n "${CUDA_MPS_PIPE_DIRECTORY:-}" ]; then
    echo quit | nvidia-cuda-mps-control || true
  fi
  rm -rf "$environment"
}
trap cleanup EXIT

wanted() { [[ $steps == *" $1 "* ]]; }

# step NAME SECONDS COMMAND...: runs it for so long at most, keeps its output in NAME.txt, and goes on after a failure.
step() {
  local name=$1 limit=$2 status=0 start=$SECONDS
  shift 2
  echo "== $name: $*"
  timeout --signal=INT --kill-after=10 "$limit" "$@" >"$reports/$name.txt" 2>&1 || status=$?
  tail -n 6 "$reports/$name.txt"
  echo "== $name: exit $status after $((SECONDS - start)) s"
  if [ "$status" -ne 0 ]; then
    failed+=("$name (exit $status)")
  fi
}

if [ -n "${WHEELS:-}" ]; then
  environment=$(mktemp -d)
  "$python" -m venv "$environment"
  python=$environment/bin/python
  "$python" -m pip install --quiet --no-index --find-links "$WHEELS" \
    scikit-build-core pybind11 cmake ninja numpy ml_dtypes torch rich jinja2 pytest pytest-timeout hypothesis mpmath
fi
PATH=$(dirname "$("$python" -c 'import sys; print(sys.executable)')"):$PATH

{
  nvidia-smi
  nvcc --version
  "$python" --version
  "$python" -m pip list --format=freeze | grep -iE '^(numpy|torch|pybind11|needle|ml_dtypes|nvidia|cupy)'
} >"$reports/machine.txt"

CMAKE_ARGS="-DNEEDLE_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=${capability/./}" \
  "$python" -m pip install --quiet --no-build-isolation --no-deps -e .
echo "built for $gpu after $SECONDS s"

if wanted smoke; then
  step smoke 60 env NEEDLE_CHECKED=1 "$python" tests/gpu/smoke.py
  step smoke-own-kernels 60 env NEEDLE_CHECKED=1 NEEDLE_CUDA_LIBS=0 "$python" tests/gpu/smoke.py
fi
if wanted tests; then
  step tests 150 "$python" -m pytest tests/gpu tests/unit -m gpu -q -p no:cacheprovider
  step plugin 60 "$python" -m verify --plugin docs/examples/cuda_kernel.py --op row_norms --device cuda
fi
if wanted sanitizers; then
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
      step "$tool" 120 env NEEDLE_CUDA_LIBS=0 compute-sanitizer --tool "$tool" --error-exitcode 1 \
        "$python" tests/gpu/smoke.py
    done
  else
    failed+=("compute-sanitizer is not installed")
  fi
fi
if wanted planted; then
  step planted 150 "$python" tests/gpu/planted.py "$reports"
fi
if wanted verify; then
  if command -v nvidia-cuda-mps-control >/dev/null; then
    CUDA_MPS_PIPE_DIRECTORY=$(mktemp -d)
    CUDA_MPS_LOG_DIRECTORY=$CUDA_MPS_PIPE_DIRECTORY
    export CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    if nvidia-cuda-mps-control -d; then
      JOBS=${JOBS:-8}
    else
      echo "MPS does not start: one worker"
      unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    fi
  fi
  rm -f "$reports/verify.jsonl"
  step verify 590 "$python" -m verify --device cuda,cpu --jobs "${JOBS:-1}" --budget "${BUDGET:-default}" \
    --json "$reports/verify.jsonl" --markdown "$reports/verify.md" --quiet
  if [ -e "$reports/verify.jsonl" ]; then  # a run that could not start leaves none
    gzip --force "$reports/verify.jsonl"
  fi
  if [ -n "${CUDA_MPS_PIPE_DIRECTORY:-}" ]; then
    echo quit | nvidia-cuda-mps-control
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  fi
fi
if wanted accuracy; then
  step accuracy 300 "$python" -m verify calibrate --device cuda --jobs "$(nproc)" \
    --json "$reports/accuracy.json" --markdown "$reports/accuracy.md" --quiet
fi
if wanted speed; then
  step speed 590 "$python" tests/benchmarks/ratios.py --device cuda --rounds 7 --target "${TARGET:-0.005}" \
    --json "$reports/speed.json" --markdown "$reports/speed.md"
fi

if [ "${#failed[@]}" -ne 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "all good on $gpu; reports in $reports"
