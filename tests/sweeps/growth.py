"""How a study's cost grows with its trials: `python -m tests.sweeps.growth`, a Markdown row a size.

A study of finished trials with 4 hyper-parameters and 10 epochs, two in five pruned, is stored in
SQLite. Measured are: opening it and taking its trials, the first proposal, and the median and the
90th percentile of the following ones by the default sampler; seconds of processor time and, in
brackets, of the clock. Each size has a process of its own, whose memory is its highest.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.profiles import Name
from models import registry
from sweeps import space, studies
from sweeps.proposals import Proposals
from sweeps.studies import StoredStudy

SIZES = (100, 1_000, 10_000)
PROPOSALS = 20


def finished(chosen: space.Space, count: int) -> list[FrozenTrial]:
    """Trials as sweeps store them, drawn at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    draw = random.Random(0)
    trials = []
    for number in range(count):
        trial = study.ask()
        chosen.suggest(trial)
        pruned = draw.random() < 0.4
        history = [draw.random() for _ in range(4 if pruned else 10)]
        trials.append(
            create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
                value=history[-1],
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=dict(enumerate(history, start=1)),
                user_attrs={
                    "run_ids": [f"cnn-mnist-{number:016x}"],
                    "reason": None,
                    "traceback": None,
                    "seconds": 1.0,
                    "code_version": "0123456789ab",
                },
            )
        )
    return trials


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._processor, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> tuple[float, float]:
        return time.process_time() - self._processor, time.perf_counter() - self._wall


def measure(count: int, folder: Path) -> str:
    """One row."""
    chosen = space.load("cnn", registry.variant("cnn"), Name.standard)
    with studies.storage(folder) as storage:
        clock = Clock()
        study = StoredStudy(storage, "study", directions=["maximize"], identity={})
        proposals = Proposals(
            chosen, study="study", seed=0, directions=["maximize"], lag=4, startup=5
        )
        for trial in study.trials:
            proposals.skip(trial)
        opened = clock.read()
    clock = Clock()
    proposal = proposals.propose()
    first = clock.read()
    following = []
    for trial in study.trials[:PROPOSALS]:
        proposals.finish(proposal.number, trial)
        clock = Clock()
        proposal = proposals.propose()
        following.append(clock.read())
    median = tuple(statistics.median(times) for times in zip(*following, strict=True))
    ninth = tuple(statistics.quantiles(times, n=10)[-1] for times in zip(*following, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cells = [f"{own:.3f} ({wall:.3f})" for own, wall in (opened, first, median, ninth)]
    return f"| {count:,} | {' | '.join(cells)} | {memory:.0f} |"


def main() -> None:
    if len(sys.argv) == 3:
        print(measure(int(sys.argv[1]), Path(sys.argv[2])))
        return
    print("| trials | opened, s | first proposal, s | median, s | 90th percentile, s | MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    chosen = space.load("cnn", registry.variant("cnn"), Name.standard)
    for count in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            with studies.storage(Path(folder)) as storage:
                study = optuna.create_study(
                    storage=storage, study_name="study", direction="maximize"
                )
                study.set_user_attr("identity", "{}")
                study.add_trials(finished(chosen, count))
            command = [sys.executable, "-m", "tests.sweeps.growth", str(count), folder]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
