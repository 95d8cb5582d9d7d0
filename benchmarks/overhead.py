"""What a run costs beyond its training: against a bare loop of the same steps, and fixed.

Run and loop take turns on the same samples, batches and initial weights, with the same threads.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks import protocol
from benchmarks.batches import training_epoch
from benchmarks.protocol import DataSource, TaskData
from benchmarks.run import run
from benchmarks.seeds import derive
from benchmarks.spec import Budget, RunRecord, RunSpec
from models import registry

if TYPE_CHECKING:
    from rich.table import Table

CASES = {"linear": {}, "cnn": {"width": 20}, "capsnet": {"conv_channels": 64}}
"""Steps of under a millisecond, of some 30, and of some 400."""
BATCH = 128
STEPS = {"linear": 400, "cnn": 50, "capsnet": 4}
ROUNDS = 15
_DATASET = "mnist"


def against_a_loop(threads: int) -> Table:
    """Milliseconds a step of our run and of a bare loop, their ratio, and a run's fixed cost."""
    from rich.table import Table

    table = Table(title=f"A run against a bare loop, {threads} threads, best of {ROUNDS} rounds")
    table.add_column("variant", no_wrap=True)
    for column in ("steps", "loop, ms a step", "run, ms a step", "ratio", "fixed, s a run"):
        table.add_column(column, justify="right", no_wrap=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        for name in CASES:
            table.add_row(name, str(STEPS[name]), *fresh.submit(_figures, name, threads).result())
    return table


def _figures(name: str, threads: int) -> list[str]:
    """The best of the rounds, in which both take turns: what else the machine does passes by."""
    logging.getLogger("benchmarks.datasets").setLevel(logging.ERROR)  # rendered data will do
    config = registry.variant(name).Config.model_validate({"batch_size": BATCH, **CASES[name]})
    budget = Budget(
        profile="overhead", epochs=1, train_samples=BATCH * STEPS[name], validation_samples=100
    )
    source = DataSource(Path("rendered"))
    spec = RunSpec(
        variant=name,
        dataset=_DATASET,
        role="trial",
        hyperparameters=config.model_dump(mode="json"),
        seed=0,
        budget=budget,
        threads=threads,
        data_sha256=protocol.describe(
            "classification", _DATASET, budget=budget, source=source
        ).sha256,
    )
    data = protocol.load("classification", _DATASET, budget=budget, source=source, seed=0)
    loop(spec, data)
    _run(spec, source)
    rounds = []
    for _ in range(ROUNDS):
        bare = loop(spec, data)
        begun = time.perf_counter()
        trained = float(_run(spec, source).costs["train_seconds"] or 0.0)
        rounds.append((bare, trained, time.perf_counter() - begun - trained))
    bare, ours, fixed = (min(column) for column in zip(*rounds, strict=True))
    steps = STEPS[name]
    return [
        f"{1e3 * bare / steps:.2f}",
        f"{1e3 * ours / steps:.2f}",
        f"{ours / bare:.3f}",
        f"{fixed:.2f}",
    ]


def loop(spec: RunSpec, data: TaskData) -> float:
    """Seconds of an epoch of a bare loop: what the run does, and nothing beside it."""
    torch.set_num_threads(spec.threads)
    torch.manual_seed(derive(spec.seed, init=0))
    variant = registry.variant(spec.variant)
    model = variant(
        shape=data.shape, config=variant.Config.model_validate(spec.hyperparameters)
    ).train()
    recipe, weights = model.optimization(), model.loss_weights
    begun = time.perf_counter()
    for batch in training_epoch(data.train, batch_size=BATCH, seed=spec.seed, epoch=0):
        recipe.optimizer.zero_grad()
        terms, _ = model.loss(batch)
        total = [weights.get(name, 1.0) * term for name, term in terms.items()]
        torch.stack(total).sum().backward()
        recipe.optimizer.step()
        if recipe.scheduler is not None:
            recipe.scheduler.step()
    return time.perf_counter() - begun


def _run(spec: RunSpec, source: DataSource) -> RunRecord:
    with tempfile.TemporaryDirectory() as results:
        return run(spec, source=source, results=Path(results))
