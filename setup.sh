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

setup() {
  local lock=$root/$1 python stamp wanted
  PYTHON_BIN=$root/.venv/bin/python
  stamp=$root/.venv/installed-from
  wanted=$(cat "$lock" "$root/requirements-torch.txt" | cksum)
  if grep -qxF "$1 $wanted" "$stamp" 2>/dev/null; then return; fi
  python=$(find_python) || return 2
  echo "Setting up .venv from $1 (once; some minutes, most of them for PyTorch) ..." >&2
  [ -x "$PYTHON_BIN" ] || "$python" -m venv "$root/.venv" || return 2
  # --no-deps: the lock holds every dependency; torch, which the lock leaves out, comes after it.
  "$PYTHON_BIN" -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r "$lock" &&
    "$PYTHON_BIN" -m pip install -q --disable-pip-version-check -r "$root/requirements-torch.txt" || {
      echo "The packages of $1 could not be installed (pip says why above): mend that and call this again." >&2
      return 2
    }
  echo "$1 $wanted" >> "$stamp"
}
