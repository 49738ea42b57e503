#!/usr/bin/env bash
# The native tests, the unit tests (fuzz tests among them) and the flat kernels' under AddressSanitizer and UBSan. `tox -e native` runs this against a wheel
# that was built with NEEDLE_SANITIZE=address,undefined; the C++ programs are built here with the same option.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S . -B "$build" -G Ninja -DNEEDLE_NATIVE_TESTS=ON -DNEEDLE_CUDA=OFF -DNEEDLE_SANITIZE=address,undefined \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >"$build/configure.log"
cmake --build "$build" -j "$(nproc)"
ctest --test-dir "$build" --output-on-failure

# Without libstdc++ preloaded the first C++ exception aborts; leaks are counted by our own allocator, since
# LeakSanitizer gives no useful verdict under CPython.
preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
  pytest tests/unit tests/course/test_flat_kernels.py tests/course/test_ndarray.py -p no:cacheprovider "$@"
