"""Measures the overhead of a run: per step, against a bare training loop, and once per run.

The run and the bare loop alternate, one step each, with the same samples, batches, initial weights
and threads. Other load on the machine therefore slows both equally.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from benchmarks.batches import training_epoch
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.seeds import derive_seed
from benchmarks.records.spec import RunSpec
from benchmarks.runs.preparation import build_model, load_data
from benchmarks.runs.run import run
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import Machine, specify

if TYPE_CHECKING:
    from rich.table import Table

CASES = {"linear": {}, "cnn": {"width": 10}, "capsnet": {"conv_channels": 64}}
"""Variants and hyper-parameters to measure: steps of under 1 ms, about 20 ms and about 400 ms."""
BATCH = 128
STEPS = {"linear": 1000, "cnn": 250, "capsnet": 12}
ROUNDS = 4
_DATASET = "mnist"


def against_a_loop(threads: int) -> Table:
    """Measures the overhead of a run of each variant in `CASES`, each in a fresh process.

    Args:
        threads: number of CPU threads.

    Returns:
        A table with one row per variant: number of steps, milliseconds per step of the bare loop
        and of the run, their ratio, and the run's fixed seconds.
    """
    from rich.table import Table

    table = Table(title=f"A run against a bare loop, {threads} threads, medians of {ROUNDS} runs")
    table.add_column("variant", no_wrap=True)
    for column in ("steps", "loop, ms per step", "run, ms per step", "ratio", "fixed, s per run"):
        table.add_column(column, justify="right", no_wrap=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        for name in CASES:
            table.add_row(name, str(STEPS[name]), *fresh.submit(_figures, name, threads).result())
    return table


def _figures(name: str, threads: int) -> list[str]:
    """Measures one variant and formats the last four cells of its row.

    The values are medians over the steps of all runs except the first, which also imports and
    allocates. The run's time per step is the loop's median plus the median difference between a
    step of the run and the loop's step before it. This difference is robust when the speed of the
    machine changes; the difference of two medians is not.
    """
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)  # stand-ins are intended here
    source = DataSource(Path("rendered"))
    spec = specify(
        name,
        _DATASET,
        profile=ProfileName.paper,
        hyperparameters={"batch_size": BATCH, **CASES[name]},
        budget={"epochs": 1, "train_samples": BATCH * STEPS[name], "validation_samples": 100},
        source=source,
        machine=Machine(threads=threads),
    )
    data = load_data(spec, source)
    loops, fixed = [], []
    for _ in range(ROUNDS + 1):
        loop = Loop(spec, data)
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as results:
            run(spec, source=source, results=Path(results), callbacks=[loop])
        fixed.append(time.perf_counter() - begun - sum(loop.bare) - sum(loop.ours))
        loops.append(loop)
    bare = median(step for loop in loops[1:] for step in loop.bare)
    more = median(
        ours - step for loop in loops[1:] for step, ours in zip(loop.bare, loop.ours, strict=True)
    )
    return [
        f"{1e3 * bare:.2f}",
        f"{1e3 * (bare + more):.2f}",
        f"{1 + more / bare:.3f}",
        f"{min(fixed[1:]):.2f}",
    ]


class Loop(pl.Callback):
    """Makes one step of a bare training loop before each step of a run, and times both.

    The bare loop has its own model, with the same initial weights and batches as the run's.

    Args:
        spec: the spec of the run.
        data: the data of the run.
    """

    def __init__(self, spec: RunSpec, data: TaskData) -> None:
        torch.manual_seed(derive_seed(spec.seed, init=0))
        self.model = build_model(spec, data.shape).train()
        self.recipe = self.model.optimization()
        self.batches = iter(training_epoch(data.train, batch_size=BATCH, seed=spec.seed, epoch=0))
        self.bare: list[float] = []
        """Seconds of each step of the bare loop."""
        self.ours: list[float] = []
        """Seconds of each step of the run, including Lightning's work before the next step."""
        self._ended = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        begun = time.perf_counter()
        if self.bare:
            self.ours.append(begun - self._ended)
        self.recipe.optimizer.zero_grad()
        terms, _ = self.model.loss(next(self.batches))
        self.recipe.update(self.model, self.model.total(terms))
        self._ended = time.perf_counter()
        self.bare.append(self._ended - begun)

    def on_validation_start(self, *_: Any) -> None:
        self.ours.append(time.perf_counter() - self._ended)
