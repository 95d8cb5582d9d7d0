# Sourced by run_all.sh and run_tests.sh: makes .venv from a lock, once; says what it does.
# `setup LOCK` leaves the interpreter's path in $PYTHON_BIN. Set PYTHON to choose another Python.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "capsbench needs Python 3.11 or newer with pip and venv, and found none: install it, or name it as PYTHON=/path/to/python3.11." >&2
  return 2
}

# What .venv is made from: a line a lock that it satisfies. The test lock holds the other's pins too.
state_of() {
  local lock
  for lock in "$@"; do
    echo "$lock $(cat "$root/$lock" "$root/requirements-torch.txt" "$root/pyproject.toml" | cksum)"
  done
}

setup() {
  local lock=$1 satisfied=("$1") stamp=$root/.venv/installed-from python
  PYTHON_BIN=$root/.venv/bin/python
  if grep -qxF "$(state_of "$lock")" "$stamp" 2>/dev/null; then return; fi
  python=$(find_python) || return 2
  echo "Setting up .venv from $lock (once; some minutes, most of them for PyTorch) ..." >&2
  # A .venv whose making was interrupted has a Python without pip: it is made anew.
  "$PYTHON_BIN" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$root/.venv" || return 2
  rm -f "$stamp"
  # --no-deps: the lock holds every dependency; torch, which the lock leaves out, comes after it. Then
  # capsbench itself, in place, for its command `.venv/bin/capsbench`.
  "$PYTHON_BIN" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$root/$lock" &&
    "$PYTHON_BIN" -m pip install -q --disable-pip-version-check -r "$root/requirements-torch.txt" &&
    "$PYTHON_BIN" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e "$root" || {
      echo "The packages of $lock could not be installed (pip says why above): mend that and call this again." >&2
      return 2
    }
  if [ "$lock" = requirements-test.lock ]; then satisfied+=(requirements.lock); fi
  state_of "${satisfied[@]}" > "$stamp"
}
