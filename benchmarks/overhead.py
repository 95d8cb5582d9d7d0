"""What a run costs beyond its training: against a bare loop of the same steps, and fixed.

Run and loop take turns on the same samples, batches and initial weights, with the same threads.
"""

from __future__ import annotations

import tempfile
import time
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

CASES = {"linear": {}, "cnn": {"width": 16}, "capsnet": {"conv_channels": 64}}
"""Steps of under a millisecond, of some 20, and of some 300."""
BATCH = 128
STEPS = {"linear": 400, "cnn": 160, "capsnet": 8}
ROUNDS = 4
_DATASET = "mnist"


def against_a_loop(threads: int) -> Table:
    """Milliseconds a step of our run and of a bare loop, their ratio, and a run's fixed cost."""
    from rich.table import Table

    table = Table(title=f"A run against a bare loop, {threads} threads, best of {ROUNDS} rounds")
    table.add_column("variant", no_wrap=True)
    for column in ("steps", "loop, ms a step", "run, ms a step", "ratio", "fixed, s a run"):
        table.add_column(column, justify="right", no_wrap=True)
    source = DataSource(Path("rendered"))
    for name, settings in CASES.items():
        steps = STEPS[name]
        config = registry.variant(name).Config.model_validate({"batch_size": BATCH, **settings})
        budget = Budget(
            profile="overhead", epochs=1, train_samples=BATCH * steps, validation_samples=100
        )
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
        ours = bare = fixed = float("inf")
        for _ in range(ROUNDS):
            bare = min(bare, loop(spec, data) / steps)
            begun = time.perf_counter()
            record = _run(spec, source)
            seconds = time.perf_counter() - begun
            trained = float(record.costs["train_seconds"] or 0.0)
            ours, fixed = min(ours, trained / steps), min(fixed, seconds - trained)
        figures = (f"{1000 * bare:.2f}", f"{1000 * ours:.2f}", f"{ours / bare:.3f}", f"{fixed:.2f}")
        table.add_row(name, str(steps), *figures)
    return table


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
