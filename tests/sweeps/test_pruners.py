"""Tests that pruners decide as Optuna's, from a run's own metrics and a frozen history."""

from __future__ import annotations

import pickle
import random
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.records.spec import Direction
from benchmarks.specs.profiles import ProfileName, load_profile
from sweeps.studies import pruners
from sweeps.studies.pruners import FrozenPruner
from sweeps.studies.study_configuration import (
    Halving,
    Hyperband,
    Median,
    NoPruner,
    Percentile,
    Pruner,
)

PROFILE = load_profile(ProfileName.smoke).model_copy(update={"startup": 2, "warmup": 1})


def trial(*history: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    return create_trial(
        state=state,
        value=history[-1],
        intermediate_values=dict(enumerate(history, start=1)),
    )


def frozen(
    pruner: Pruner,
    known: list[FrozenTrial],
    direction: Direction = "maximize",
    number: int | None = None,
) -> FrozenPruner:
    return FrozenPruner(
        pruners.make_pruner(pruner, profile=PROFILE, epochs=9),
        known,
        direction,
        "study",
        len(known) if number is None else number,
    )


THREE = [trial(0.1, 0.5, 0.9), trial(0.2, 0.6, 0.8), trial(0.3, 0.7, 0.7)]


def test_the_median_of_the_frozen_history_decides() -> None:
    assert not frozen(Median(), THREE)([0.0])  # warm-up
    assert frozen(Median(), THREE)([0.0, 0.5])
    assert not frozen(Median(), THREE)([0.0, 0.65])
    assert not frozen(Median(), THREE)([0.9, 0.5])  # its best so far counts, as Optuna has it
    assert frozen(Median(), THREE, "minimize")([0.9, 0.7])


def test_a_percentile_is_stricter_or_milder_than_the_median() -> None:
    assert frozen(Percentile(percentile=10), THREE)([0.0, 0.65])
    assert not frozen(Percentile(percentile=90), THREE)([0.0, 0.52])


def test_too_few_histories_prune_nothing() -> None:
    assert not frozen(Median(), THREE[:1])([0.0, 0.0])


def test_no_pruner_prunes_nothing() -> None:
    assert not frozen(NoPruner(), THREE)([0.0] * 8)


def test_successive_halving_lets_the_best_third_go_on() -> None:
    history = [trial(*[0.1 * n] * 9) for n in range(1, 7)]
    for score, stops in ((0.05, True), (0.45, True), (0.65, False)):
        assert frozen(Halving(), history)([score]) is stops
    # Between the rungs, which are epochs 1, 3 and 9, nothing is decided.
    assert not frozen(Halving(), history)([0.65, 0.0])
    assert frozen(Halving(), history)([0.65, 0.0, 0.0])
    assert not frozen(Halving(min_epochs=2), history)([0.0])


def test_hyperband_spares_some_trials_at_first() -> None:
    """Its brackets start at epochs 1, 3 and 9; a trial's number decides its bracket."""
    history = [trial(*[0.5] * 9) for _ in range(60)]
    ends = [
        next((e for e in range(1, 10) if pruner([0.0] * e)), None)
        for pruner in (frozen(Hyperband(), history, number=n) for n in range(60, 80))
    ]
    assert {1, 3} <= set(ends)


EVERY_PRUNER = pytest.mark.parametrize(
    "pruner", [NoPruner(), Median(), Percentile(percentile=30), Halving(), Hyperband()], ids=str
)


@EVERY_PRUNER
def test_a_decision_is_the_same_wherever_a_run_was_interrupted(pruner: Pruner) -> None:
    """A run that resumes from a checkpoint has several epochs behind it when it first asks."""
    draw = random.Random(1)
    history = [trial(*[draw.random() for _ in range(9)]) for _ in range(20)]
    scores = [draw.random() for _ in range(8)]
    step_by_step = frozen(pruner, history)
    decisions = [step_by_step(scores[:n]) for n in range(1, 9)]
    for n in range(1, 9):
        sent = pickle.loads(pickle.dumps(frozen(pruner, history)))
        assert sent(scores[:n]) == decisions[n - 1]


def test_seeds_are_compared_in_pairs() -> None:
    better = trial(0.90, 0.80, 0.85, 0.95, 0.88)

    def stops(*scores: float) -> bool:
        return FrozenPruner(pruners.make_seed_pruner(), [better], "maximize", "study", 1)([*scores])

    assert not stops(0.5, 0.4, 0.45)  # three pairs prove nothing at a level of 0.1
    assert stops(0.5, 0.4, 0.45, 0.55)
    assert not stops(0.91, 0.79, 0.86, 0.94)


def replayed(pruner: Pruner, history: list[FrozenTrial], number: int, scores: list[float]) -> bool:
    """Returns Optuna's decision in a study whose trials all reported their steps, one after the
    other.
    """
    study = optuna.create_study(
        study_name="study",
        direction="maximize",
        pruner=pruners.make_pruner(pruner, profile=PROFILE, epochs=9),
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for known in history:
        again = study.ask()
        for step, value in known.intermediate_values.items():
            again.report(value, step)
            again.should_prune()
        study.tell(again, known.value)
    for _ in range(len(history), number):
        study.tell(study.ask(), state=TrialState.FAIL)
    run, stop = study.ask(), False
    for step, score in enumerate(scores, start=1):
        run.report(score, step)
        stop = run.should_prune()
    return stop


NOTING = pytest.mark.parametrize("pruner", [Halving(), Hyperband()], ids=str)


@NOTING
def test_notes_made_once_decide_as_a_whole_replay_does(pruner: Pruner) -> None:
    draw = random.Random(2)
    stock = pruners.make_pruner(pruner, profile=PROFILE, epochs=9)
    notes = pruners.PrunerNotes(stock, "maximize", "study")
    history: list[FrozenTrial] = []
    decisions = []
    for number in range(2, 60):
        history.append(trial(*[draw.random() for _ in range(draw.choice((1, 3, 5, 9)))]))
        scores = [draw.random() for _ in range(draw.choice((1, 3, 9)))]
        ours = FrozenPruner(stock, history, "maximize", "study", number, notes)
        decisions.append(pickle.loads(pickle.dumps(ours))(scores))
        assert decisions[-1] == replayed(pruner, history, number, scores)
    assert {True, False} == set(decisions)


@NOTING
def test_a_run_costs_as_much_in_a_long_study(
    pruner: Pruner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruners, "HISTORIES", 50)
    halving = optuna.pruners.SuccessiveHalvingPruner
    looks: list[int] = []
    prune = halving.prune

    def counted(self: Any, study: optuna.Study, trial: FrozenTrial) -> bool:
        looks.append(trial.number)
        return prune(self, study, trial)

    monkeypatch.setattr(halving, "prune", counted)
    draw = random.Random(3)
    history = [trial(*[draw.random() for _ in range(9)]) for _ in range(400)]
    sizes = []
    stock = pruners.make_pruner(pruner, profile=PROFILE, epochs=9)
    notes = pruners.PrunerNotes(stock, "maximize", "study")
    for count in (100, 400):
        job = pickle.dumps(FrozenPruner(stock, history[:count], "maximize", "study", count, notes))
        sizes.append(len(job))
        looks.clear()
        pickle.loads(job)([0.5] * 9)
        assert looks == [count] * 9  # the run's own steps
    assert abs(sizes[1] - sizes[0]) < 0.05 * sizes[0]
