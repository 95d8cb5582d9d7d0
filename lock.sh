#!/usr/bin/env bash
# Rewrites requirements.lock, requirements-test.lock and environment.yaml from pyproject.toml.
# torch and what only its CUDA builds need stay out: requirements-torch.txt pins torch alone, so that
# a CPU build serves as well as a CUDA build. Needs uv (`pip install uv`). Options go to uv:
# `./lock.sh --upgrade` raises the pins of what pyproject.toml does not pin.
set -euo pipefail
cd "$(dirname "$0")"

compile() {  # compile OUTPUT [uv options]
  local output=$1; shift
  # uv keeps the pins that OUTPUT has, unless --upgrade is given.
  uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-package torch --no-header --no-emit-index-url --no-emit-find-links -q \
    --output-file "$output" "${options[@]}" "$@"
  awk '
    /^[a-z0-9]/ { keep = !/^(nvidia-|cuda-|triton==)/ }
    /^ *#/ { next }
    keep' "$output" > "$output.new"
  mv "$output.new" "$output"
}

options=("$@")
compile requirements.lock
compile requirements-test.lock --group test
grep -oE 'torch==[0-9.]+' pyproject.toml | head -n 1 > requirements-torch.txt
{
  echo "# The pins of requirements.lock for conda users; written by lock.sh."
  echo "name: capsbench"
  echo "channels: [conda-forge]"
  echo "dependencies:"
  echo "  - python>=3.11,<3.15"
  echo "  - pip"
  echo "  - pip:"
  { cat requirements-torch.txt; sed -nE 's/^([a-z0-9][^ \\]*==[^ \\]+)( ; [^\\]*[^ \\])? *\\?$/\1\2/p' requirements.lock; } |
    sed "s/.*/      - \"&\"/"
} > environment.yaml
