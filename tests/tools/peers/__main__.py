"""Compares training steps of other people with ours: `python -m tests.tools.peers --peers DIR`.

DIR has checkouts of the peers in folders named OWNER+NAME. Some peers need Keras or JAX, which
are installed in an environment of their own; `--python` names its interpreter.

The peer, our variant and a matrix product compute in turn, each in its own process, and wait while
another computes. All have the same number of threads and the same settings of the C library's
allocator, and compute in float32 on the CPU. Each process may use as many cores as it has threads:
XLA starts one thread per core that its process may use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.speed.allocator import keep_freed_memory

ROOT = Path(__file__).parents[3]


class Case(NamedTuple):
    """Describes a comparison."""

    peer: str
    """The folder of the peer's checkout: OWNER+NAME."""
    batch: int
    """Samples per step."""
    libraries: tuple[str, ...] = ()
    """What the peer imports beside our own environment; none: it runs in our environment."""
    variant: str | None = None
    """The name of our variant; None: the case's name."""


CASES = {
    "capsnet": Case("XifengGuo+CapsNet-Pytorch", 128),
    "capsule-transformer": Case("mmheydari97+SACap", 16, ("jax", "flax", "optax")),
    "convlstm": Case("holmdk+Video-Prediction-using-PyTorch", 4),
    "pcae": Case("mlberkeley+scae-pytorch", 128),
    "scae": Case("bdsaglam+torch-scae", 128),
    "tlb-keras-jax": Case("keras-team+keras-io", 256, ("keras", "jax"), "tlb-keras"),
    "tlb-keras-torch": Case("keras-team+keras-io", 256, ("keras", "torch"), "tlb-keras"),
}


class Contender:
    """Controls a process that makes training steps on request."""

    def __init__(
        self, module: str, *arguments: object, cores: list[int], python: str = sys.executable
    ) -> None:
        """Starts the process, and waits until it has made its first steps.

        Args:
            module: the module of this package that the process runs.
            arguments: the module's arguments.
            cores: the cores that the process may use; it has one thread per core.
            python: the interpreter.
        """
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": str(len(cores)),
            "PYTHONPATH": str(ROOT),
        }
        self._process = subprocess.Popen(
            [python, "-m", f"tests.tools.peers.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.facts = self._read()
        self.seconds: list[float] = []

    def step(self) -> None:
        """Makes one step, and appends its duration to `seconds`."""
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        self.seconds.append(float(self._read()))

    def end(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, error = self._process.communicate()
            raise SystemExit(f"a contender ended: {error.strip().splitlines()[-1]}")
        return json.loads(line)


def main(
    cases: Annotated[list[str] | None, typer.Argument(help=", ".join(CASES))] = None,
    peers: Annotated[Path, typer.Option(help="Folder of the checkouts.")] = Path("peers"),
    python: Annotated[
        Path,
        typer.Option(
            exists=True, dir_okay=False, help="Interpreter of an environment with Keras and JAX."
        ),
    ] = Path(sys.executable),
    threads: Annotated[int, typer.Option(min=1, help="Threads of each contender.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 5,
) -> None:
    """Prints samples/s and memory of each peer and of ours, and their ratio."""
    cores = _cores(threads)
    unknown = [name for name in cases or () if name not in CASES]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: the cases are {', '.join(CASES)}")
    keep_freed_memory()
    print(f"Training steps in float32, {threads} threads, medians of {rounds} rounds.")
    for name in cases or CASES:
        case = CASES[name]
        folder = peers.resolve() / case.peer
        absent = _absent(case, folder, python)
        if absent:
            print(f"{name}: left out: {absent}")
            continue
        interpreter = str(python) if case.libraries else sys.executable
        theirs = Contender("theirs", name, folder, case.batch, cores=cores, python=interpreter)
        ours = Contender("ours", case.variant or name, case.batch, cores=cores)
        product = Contender("product", cores=cores)
        for _ in range(rounds):
            for contender in (product, theirs, ours):
                contender.step()
        for contender in (product, theirs, ours):
            contender.end()
        print(_line(name, case, theirs, ours, product), flush=True)


def _cores(threads: int) -> list[int]:
    """Returns one core per thread, of those that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    if threads > len(usable):
        raise typer.BadParameter(
            f"{threads} threads need as many cores, and this process may use {len(usable)}: "
            f"take --threads {len(usable)}"
        )
    return usable[:threads]


def _absent(case: Case, folder: Path, python: Path) -> str | None:
    """Says what a case lacks and how to get it; None if all is there."""
    if not folder.is_dir():
        return f"clone {case.peer.replace('+', '/')} to {folder}"
    code = "import sys; from importlib.util import find_spec as f; "
    code += "print(*(name for name in sys.argv[1:] if f(name) is None))"
    found = subprocess.run(
        [python, "-c", code, *case.libraries], capture_output=True, text=True, check=True
    )
    if not found.stdout.strip():
        return None
    return (
        f"{python} cannot import {found.stdout.strip().replace(' ', ', ')}: install "
        f"{', '.join(case.libraries)} in an environment of their own, and pass its interpreter "
        "as --python"
    )


def _line(name: str, case: Case, theirs: Contender, ours: Contender, product: Contender) -> str:
    ratios = [t / o for t, o in zip(theirs.seconds, ours.seconds, strict=True)]
    rates = [product.facts["flops"] / s / 1e9 for s in product.seconds]
    memory = ours.facts["bytes"] / theirs.facts["bytes"]
    return (
        f"{name} (batch {case.batch}, {ours.facts['parameters']:,} parameters): "
        f"{case.batch / median(theirs.seconds):.4g} samples/s by {case.peer.replace('+', '/')} "
        f"({theirs.facts['libraries']}), {case.batch / median(ours.seconds):.4g} by ours "
        f"({ours.facts['libraries']}): "
        f"{median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"memory {ours.facts['bytes'] / 2**20:.0f} of {theirs.facts['bytes'] / 2**20:.0f} MiB "
        f"({memory:.2f} ×); matrix product {median(rates):.0f} GFLOP/s"
    )


if __name__ == "__main__":
    typer.run(main)
