"""Compares training steps of other people with ours: `python -m tests.tools.peers --peers DIR`.

DIR has checkouts of the peers in folders named OWNER+NAME. The peer, our variant and a matrix
product compute in turn, each in its own process, and wait while another computes. All have the same
number of threads and the same settings of the C library's allocator, and compute in float32.
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
    """Describes a comparison: a peer's checkout, and the samples per step."""

    peer: str
    batch: int


CASES = {
    "capsnet": Case("XifengGuo+CapsNet-Pytorch", 128),
    "convlstm": Case("holmdk+Video-Prediction-using-PyTorch", 4),
    "pcae": Case("mlberkeley+scae-pytorch", 128),
    "scae": Case("bdsaglam+torch-scae", 128),
}


class Contender:
    """Controls a process that makes training steps on request."""

    def __init__(self, module: str, *arguments: object, threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.tools.peers.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
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
    threads: Annotated[int, typer.Option(min=1, help="Threads of each contender.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 5,
) -> None:
    """Prints samples/s and memory of each peer and of ours, and their ratio."""
    keep_freed_memory()
    print(f"Training steps in float32, {threads} threads, medians of {rounds} rounds.")
    for name in cases or CASES:
        case = CASES[name]
        folder = peers.resolve() / case.peer
        if not folder.is_dir():
            print(f"{name}: left out: clone {case.peer.replace('+', '/')} to {folder}")
            continue
        theirs = Contender("theirs", name, folder, case.batch, threads=threads)
        ours = Contender("ours", name, case.batch, threads=threads)
        product = Contender("product", threads=threads)
        for _ in range(rounds):
            for contender in (product, theirs, ours):
                contender.step()
        for contender in (product, theirs, ours):
            contender.end()
        print(_line(name, case, theirs, ours, product), flush=True)


def _line(name: str, case: Case, theirs: Contender, ours: Contender, product: Contender) -> str:
    ratios = [t / o for t, o in zip(theirs.seconds, ours.seconds, strict=True)]
    rates = [product.facts["flops"] / s / 1e9 for s in product.seconds]
    memory = ours.facts["bytes"] / theirs.facts["bytes"]
    return (
        f"{name} (batch {case.batch}, {ours.facts['parameters']:,} parameters): "
        f"{case.batch / median(theirs.seconds):.4g} samples/s by {case.peer.replace('+', '/')}, "
        f"{case.batch / median(ours.seconds):.4g} by ours: "
        f"{median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f}); "
        f"memory {ours.facts['bytes'] / 2**20:.0f} of {theirs.facts['bytes'] / 2**20:.0f} MiB "
        f"({memory:.2f} ×); matrix product {median(rates):.0f} GFLOP/s"
    )


if __name__ == "__main__":
    typer.run(main)
