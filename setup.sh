# Sourced by run_all.sh and run_tests.sh: makes .venv from a lock, once; says what it does.
# `setup LOCK` leaves the interpreter's path in $PYTHON_BIN. Set PYTHON to choose another Python.
# It adds to a .venv that is there, whoever made it, and removes nothing.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# Packages and a standard library of other installations, which would stand before .venv's.
unset PYTHONPATH PYTHONHOME

# Prints why a Python cannot be used, and nothing if it can. Pythons from 2.7 on can read this.
fault_of() {  # fault_of PYTHON PURPOSE
  "$1" -c 'import sys
fault = ""
if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    fault = "is Python %d.%d, not 3.11 to 3.14" % sys.version_info[:2]
elif sys.argv[1] == "to be .venv" and sys.prefix == sys.base_prefix:
    fault = "belongs to no virtual environment"
elif sys.argv[1] == "to make .venv":
    try:
        import ensurepip, venv
    except ImportError as error:
        fault = "has no module %s (Debian: apt install python3-venv)" % error.name
print(fault)' "$2" 2>/dev/null || echo "cannot be started"
}

find_python() {
  local candidate fault faults=""
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    fault=$(fault_of "$candidate" "to make .venv")
    if [ -z "$fault" ]; then
      echo "$candidate"
      return
    elif [ -n "${PYTHON:-}" ]; then
      echo "PYTHON=$PYTHON $fault: name another Python as PYTHON=/path/to/python3.14, or unset PYTHON." >&2
      return 2
    elif command -v "$candidate" >/dev/null; then
      faults+="; $candidate $fault"
    fi
  done
  echo "capsbench needs Python 3.11 to 3.14 with venv, and found none${faults:+ (${faults:2})}:" \
    "install it, or name it as PYTHON=/path/to/python3.14." >&2
  return 2
}

# What .venv is made from: a line a lock that it satisfies. The test lock holds the other's pins too.
state_of() {
  local lock
  for lock in "$@"; do
    echo "$lock $(cat "$root/$lock" "$root/requirements-torch.txt" "$root/pyproject.toml" | cksum)"
  done
}

# Installs into .venv, where the user's settings of pip say that it installs elsewhere or not at all.
# Their settings of where packages come from hold.
install() {
  env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT -u PIP_PYTHON -u PIP_DRY_RUN -u PIP_REQUIRE_HASHES \
    "$PYTHON_BIN" -I -m pip install -q --disable-pip-version-check --no-user --target= --root=/ --prefix="$root/.venv" "$@"
}

setup() {
  local lock=$1 satisfied=("$1") stamp=$root/.venv/installed-from python fault
  PYTHON_BIN=$root/.venv/bin/python
  if [ -x "$PYTHON_BIN" ] && grep -qxF "$(state_of "$lock")" "$stamp" 2>/dev/null; then return; fi
  if [ ! -e "$PYTHON_BIN" ] && [ ! -L "$PYTHON_BIN" ]; then
    python=$(find_python) || return 2
  fi
  echo "Setting up .venv from $lock (once; some minutes, most of them for PyTorch) ..." >&2
  if [ -n "${python:-}" ] && ! "$python" -I -m venv "$root/.venv"; then
    echo "$root/.venv could not be made (Python says why above): mend that and call this again." >&2
    return 2
  fi
  fault=$(fault_of "$PYTHON_BIN" "to be .venv")
  if [ -n "$fault" ]; then
    echo "$root/.venv cannot be used, as its Python $fault: move it away, and call this again." >&2
    return 2
  fi
  # Neither uv nor a set-up that was interrupted leaves pip there.
  "$PYTHON_BIN" -I -m pip --version >/dev/null 2>&1 || "$PYTHON_BIN" -I -m ensurepip >/dev/null || {
    echo "$root/.venv has no pip, and it could not be added: move it away, and call this again." >&2
    return 2
  }
  rm -f "$stamp"
  # --no-deps: the lock holds every dependency; torch, which the lock leaves out, comes after it. Then
  # capsbench itself, in place, for its command `.venv/bin/capsbench`.
  install --no-deps --require-hashes -r "$root/$lock" && install -r "$root/requirements-torch.txt" &&
    install --no-deps --no-build-isolation -e "$root" || {
      echo "The packages of $lock could not be installed (pip says why above): mend that and call this again." >&2
      return 2
    }
  # What is there needs no index.
  install --no-deps --no-index --dry-run -r "$root/$lock" >/dev/null 2>&1 || {
    echo "The packages of $lock are not in $root/.venv: see where \`pip config list\` has them installed." >&2
    return 2
  }
  if [ "$lock" = requirements-test.lock ]; then satisfied+=(requirements.lock); fi
  state_of "${satisfied[@]}" > "$stamp"
}
