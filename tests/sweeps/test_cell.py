"""A cell decides from records alone what remains to do; here nothing is trained."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.profiles import Name, load
from benchmarks.protocol import DataSource
from benchmarks.spec import RunSpec
from sweeps import space, studies
from sweeps.cell import Cell
from sweeps.engines import Job
from sweeps.listing import show_status
from sweeps.strategy import Strategy
from tests.sweeps.growth import recorded

PROFILE = load(Name.smoke).model_copy(update={"lag": 3})
SEEDS = 5
TRIALS = 10


@pytest.fixture
def several_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces that ask for trials of five seeds."""
    load_space = space.load

    def with_seeds(*arguments: Any, **named: Any) -> space.Space:
        chosen = load_space(*arguments, **named)
        chosen.strategy = Strategy(seeds=SEEDS)
        return chosen

    monkeypatch.setattr(space, "load", with_seeds)


@contextmanager
def opened(results: Path) -> Iterator[Cell]:
    with studies.storage(results) as storage:
        yield Cell(
            "linear",
            "usps",
            profile=PROFILE,
            trials=TRIALS,
            finals=2,
            source=DataSource(results / "no data: stand-ins"),
            results=results,
            storage=storage,
        )


def score(spec: RunSpec) -> float:
    """Best at a learning rate of 0.003; a seed's luck is smaller than what rates make."""
    rate = float(spec.hyperparameters["lr"])  # type: ignore[arg-type]
    return 0.9 - 0.3 * abs(math.log10(rate / 3e-3)) + random.Random(spec.seed).uniform(0, 0.02)


def work(cell: Cell, results: Path, workers: int, draw: random.Random, runs: int) -> None:
    """Makes so many runs at most, which end in random order; the others are lost, as by a kill."""
    running: list[Job] = []
    for _ in range(runs):
        while len(running) < workers and (job := cell.next()) is not None:
            running.append(job)
        if not running:
            return
        spec = running.pop(draw.randrange(len(running))).spec
        cell.take(recorded(results, spec, [score(spec)], pruned=False))


def ledger(results: Path) -> dict[str, Any]:
    return json.loads((results / "cells" / "linear-usps-smoke.json").read_bytes())


def swept(results: Path, workers: int, kills: int = 0) -> dict[str, Any]:
    """The ledger of a cell made by so many workers, whose driver was killed so often."""
    (results / "cells").mkdir(parents=True)
    draw = random.Random(workers)
    for life in range(kills + 1):
        with opened(results) as cell:
            work(cell, results, workers, draw, 8 if life < kills else 1000)
    assert cell.done
    return ledger(results)


@pytest.mark.usefixtures("several_seeds")
def test_trials_over_seeds_are_stopped_alike_by_any_workers_and_after_kills(tmp_path: Path) -> None:
    alone = swept(tmp_path / "alone", workers=1)
    assert swept(tmp_path / "beside", workers=3) == alone
    assert swept(tmp_path / "killed", workers=3, kills=4) == alone
    stopped = alone["states"]["pruned"]
    assert 0 < stopped < TRIALS
    # Wilcoxon's test needs four seeds: what it saves is the fifth.
    assert len(alone["trials"]) == SEEDS * TRIALS - stopped
    assert alone["epochs"] == {"had": 4 * stopped, "saved": stopped}


@pytest.mark.usefixtures("several_seeds")
def test_status_tells_how_many_runs_remain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cells").mkdir()
    with opened(tmp_path) as cell:
        work(cell, tmp_path, 1, random.Random(0), SEEDS)
    show_status(tmp_path)
    assert f"{(TRIALS - 1) * SEEDS + 2} runs and" in " ".join(capsys.readouterr().out.split())
