"""A cell decides from records alone what remains to do; here nothing is trained."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.profiles import Name, load
from benchmarks.protocol import DataSource
from benchmarks.run import read_record
from benchmarks.spec import RunRecord, RunSpec
from sweeps import engines, space, studies, watchdog
from sweeps.cell import Cell
from sweeps.engines import Inline, Job, Site
from sweeps.listing import show_status
from sweeps.options import EngineName, Options
from sweeps.strategy import Strategy
from sweeps.sweep import sweep
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


class Fragile(Inline):
    """An engine whose n-th run finds its worker dead so many times; every other time it had hung,
    but for the last time.
    """

    def __init__(self, deaths: dict[int, int]) -> None:
        self._deaths = deaths
        self.runs: list[str] = []

    def begin(self, job: Job, site: Site) -> Future[RunRecord]:
        if job.spec.run_id not in self.runs:
            self.runs.append(job.spec.run_id)
        place = self.runs.index(job.spec.run_id)
        if self._deaths.get(place, 0) == 0:
            return super().begin(job, site)
        self._deaths[place] -= 1
        where = watchdog.place(site.results, job.spec.run_id)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text("line 1 in stuck" * (self._deaths[place] % 2))
        future: Future[RunRecord] = Future()
        future.set_exception(BrokenExecutor("it died"))
        return future


def test_retries_are_counted_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Fragile({0: 4, 1: 1, 2: 3})
    monkeypatch.setattr(engines, "start", lambda *_, **__: engine)
    choice = Options(
        profile=Name.smoke,
        data=tmp_path / "no-data",
        only=("linear/usps",),
        engine=EngineName.inline,
        workers=1,
        trials=3,
        offline=True,
    )
    sweep(choice, tmp_path)
    sweep(choice, tmp_path)  # what was counted stays
    cell = ledger(tmp_path)
    assert cell["states"] == {"complete": 1, "pruned": 0, "fail": 2}
    assert cell["retries"] == 2 + 1 + 2
    hung, completed, killed = (read_record(tmp_path, run_id) for run_id in engine.runs[:3])
    assert (hung.status, hung.step, hung.traceback) == ("failed", 0, "line 1 in stuck")
    assert hung.reason == "its worker died 3 times, at last as no epoch ended within 12 h"
    assert completed.status == "complete"
    assert (killed.status, killed.step, killed.traceback) == ("failed", 0, None)
    assert killed.reason.startswith("its worker died 3 times (out of memory, killed, or")
    assert capsys.readouterr().err.count("begun again") == 5
    show_status(tmp_path)
    heading, row = capsys.readouterr().out.splitlines()[:2]
    assert row[heading.index("retries")] == "5"
