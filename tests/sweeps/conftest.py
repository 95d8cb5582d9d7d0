"""Makes one undisturbed sweep for all tests of sweeps, also if several workers test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.sweeps.command_lines import Report, call_here, hardened, options


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder that all workers of xdist share."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture
def alone(_shared: Path) -> FileLock:
    """Returns a lock for tests that need the undisturbed sweep for themselves."""
    return FileLock(_shared / "lock")


@pytest.fixture(scope="session")
def undisturbed(_shared: Path) -> Path:
    """Makes a sweep with one worker, inline, without any disturbance. No test changes it."""
    results, whole = _shared / "undisturbed" / "results", _shared / "whole"
    with FileLock(_shared / "lock"):
        if not whole.exists():
            shutil.rmtree(results, ignore_errors=True)
            with hardened():
                made = call_here(*options("--engine", "inline"), results=results, report=Report)
            assert made == 0
            whole.touch()
    return results


@pytest.fixture
def copied(undisturbed: Path, alone: FileLock, tmp_path: Path) -> Path:
    """Copies the undisturbed sweep for a test that changes it."""
    with alone:
        return shutil.copytree(undisturbed, tmp_path / "results")
