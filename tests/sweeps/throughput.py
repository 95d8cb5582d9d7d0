"""How many trials an hour two workers make: `python -m tests.sweeps.throughput [--data DIR]`.

The same quick sweep by one single-threaded worker and by two, in turn, from a fresh results folder
each; from the command to its end, so with what starting, finals and the report take. Prints each
sweep's trials an hour, and the ratio of the best of both.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[2]
CELLS = ("cnn/mnist", "cnn/svhn", "vit/mnist", "capsnet/mnist")
TRIALS = 8
"""A cell."""


def trials_an_hour(workers: int, data: Path | None) -> float:
    """Of one sweep."""
    call = [sys.executable, "-m", "sweeps", "run", "--profile", "quick", "--workers", str(workers)]
    call += [word for cell in CELLS for word in ("--only", cell)]
    call += ["--trials", str(TRIALS), "--seeds", "1"]
    call += ["--data", str(data)] if data else ["--offline"]
    with tempfile.TemporaryDirectory() as results:
        begun = time.perf_counter()
        subprocess.run(
            [*call, "--results", results],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return 3600 * TRIALS * len(CELLS) / (time.perf_counter() - begun)


def main(data: Annotated[Path | None, typer.Option()] = None, rounds: int = 2) -> None:
    best = {1: 0.0, 2: 0.0}
    for _ in range(rounds):
        for workers in best:
            rate = trials_an_hour(workers, data)
            best[workers] = max(best[workers], rate)
            print(f"{workers} worker{'s' * (workers > 1)}: {rate:.0f} trials an hour", flush=True)
    print(f"ratio: {best[2] / best[1]:.2f}")


if __name__ == "__main__":
    typer.run(main)
