"""Collects where a run's numbers come from: code, locked libraries and machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

from benchmarks.records.record import Provenance, RunRecord, changes

ROOT = Path(__file__).resolve().parent.parent
_DECIDE_NUMBERS = ("models", "benchmarks")
_LIBRARIES = ("torch", "pytorch-lightning", "optuna", "wandb", "numpy", "torchmetrics")


@cache
def version() -> str:
    """Reads the version of capsbench from `pyproject.toml`, because it need not be installed."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


@cache
def code_version() -> str:
    """Hashes the Python and YAML files that decide a run's numbers; git is not needed.

    These are the files of `models/` without the textbook versions, and of `benchmarks/`. Line
    endings are ignored, because some checkouts convert them.

    Returns:
        12 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for room in _DECIDE_NUMBERS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".py", ".yaml") and "textbook" not in path.parts:
                digest.update(path.relative_to(ROOT).as_posix().encode())
                digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:12]


@cache
def provenance() -> Provenance:
    """Collects versions of code and libraries, and the machine, once per process.

    Returns:
        The provenance, without `data`.
    """
    import torch

    return Provenance(
        version=version(),
        code_version=code_version(),
        commit=_commit(),
        lock_sha256=_lock(),
        versions={"python": platform.python_version(), "cuda": torch.version.cuda}
        | {n: _version(n) for n in _LIBRARIES},
        platform=platform.platform(),
        cpu=_cpu(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        gpu=_gpu(),
        host=platform.node() or None,
        visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def changes_since(record: RunRecord) -> str:
    """Describes how the conditions of this process differ from those under which a run was made.

    Args:
        record: the record of the run.

    Returns:
        For instance `torch was 2.12.0, is 2.13.0`, as `changes` does; empty if the conditions are
        equal, so that a repeated run would be bit-equal.
    """
    device = record.spec.device
    return changes(record.provenance.conditions(device), provenance().conditions(device))


def _gpu() -> str | None:
    """Names the first GPU that this process sees; None without one, or if it does not answer."""
    import torch

    try:
        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    except RuntimeError:  # for instance its memory is full: the run has failed with that reason
        return None


def _commit() -> str | None:
    """Returns the git commit, with a plus sign if tracked files differ; None without git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--match="],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None


def _lock() -> str | None:
    lock = ROOT / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
