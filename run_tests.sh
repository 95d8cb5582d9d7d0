#!/usr/bin/env bash
# Sets up and runs every check: lint, format, types, import rules, tests; prints the slowest tests.
# Arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
setup requirements-test.lock
cd "$root"
bin=$root/.venv/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/lint-imports"
# One thread a worker: two test workers on two cores would otherwise share four.
# Each worker takes neighbouring tests, so that what a file sets up is set up once, not by each.
OMP_NUM_THREADS=1 exec "$PYTHON_BIN" -m pytest -n "${TEST_WORKERS:-auto}" --dist worksteal \
  --durations 25 --durations-min 1 "$@"
