#!/usr/bin/env bash
# The main job: set up, find data, sweep the matrix, write the report. `./run_all.sh --help` prints the options.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
setup requirements.lock
PYTHONPATH=$root exec "$PYTHON_BIN" -m sweeps run "$@"
