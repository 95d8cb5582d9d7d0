"""Proposals and pruning do not depend on workers, crashes or the order of finishing."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from benchmarks.profiles import Name
from models import registry
from sweeps import space
from sweeps.proposals import FrozenPruner, Proposals, best

TRIALS = 16


def proposals(lag: int) -> Proposals:
    chosen = space.load("capsnet", registry.variant("capsnet"), Name.standard)
    return Proposals(chosen, study="study", seed=0, direction="maximize", lag=lag, startup=4)


def outcome(number: int, params: dict[str, Any]) -> SimpleNamespace:
    """A record that depends on the proposal alone; some fail, some are pruned."""
    draw = random.Random(repr((number, sorted(params.items()))))
    status = draw.choices(["complete", "pruned", "failed"], [6, 2, 2])[0]
    history = [] if status == "failed" else [draw.random() for _ in range(3)]
    return SimpleNamespace(
        status=status,
        score=history[-1] if history else None,
        history=history,
        run_id=f"run-{number}",
        reason=None,
        traceback=None,
        costs={"seconds": 1.0},
        provenance={"code_version": "0"},
    )


def simulate(lag: int, workers: int, order: random.Random) -> list[dict[str, Any]]:
    """Runs a study with workers that finish in random order."""
    study, running, params = proposals(lag), [], []
    while len(params) < TRIALS or running:
        while len(running) < workers and len(params) < TRIALS and study.ready:
            proposal = study.propose()
            assert proposal.number == len(params)
            params.append(proposal.params)
            running.append(proposal)
        done = running.pop(order.randrange(len(running)))
        study.finish(done.number, done.finished(outcome(done.number, done.params)))
    return params


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_any_number_of_workers_and_any_order_give_the_same_trials(lag: int) -> None:
    expected = simulate(lag, 1, random.Random(0))
    assert len({repr(p) for p in expected}) == TRIALS
    for workers in (2, 3, 4):
        for seed in range(3):
            assert simulate(lag, workers, random.Random(seed)) == expected


@settings(max_examples=15, deadline=None)
@given(killed=st.integers(0, TRIALS - 1), lag=st.sampled_from([1, 3]))
def test_a_study_that_was_killed_proposes_as_if_it_was_not(killed: int, lag: int) -> None:
    expected = simulate(lag, 1, random.Random(0))
    first, again = proposals(lag), proposals(lag)
    for number in range(killed):
        proposal = first.propose()
        trial = proposal.finished(outcome(number, proposal.params))
        first.finish(number, trial)
        again.skip(trial)
    for number in range(killed, TRIALS):
        proposal = again.propose()
        assert proposal.params == expected[number]
        again.finish(number, proposal.finished(outcome(number, proposal.params)))


def test_a_proposal_waits_for_the_results_it_is_made_of() -> None:
    study = proposals(lag=2)
    first, second = study.propose(), study.propose()
    assert not study.ready
    study.finish(second.number, second.finished(outcome(1, second.params)))
    assert not study.ready
    study.finish(first.number, first.finished(outcome(0, first.params)))
    assert study.ready


def test_tpe_learns_from_results() -> None:
    """Proposals after the random start gather where results are good."""
    chosen = space.load("linear", registry.variant("linear"), Name.quick)
    study = Proposals(chosen, study="s", seed=0, direction="maximize", lag=2, startup=8)
    rates = []
    for _ in range(40):
        proposal = study.propose()
        rate = proposal.params["lr"]
        record = outcome(proposal.number, {})
        record.status, record.history, record.score = "complete", [-rate], -rate
        study.finish(proposal.number, proposal.finished(record))
        rates.append(rate)
    assert sum(rates[-10:]) < sum(rates[:10]) / 2


def pruner(direction: str) -> FrozenPruner:
    known = [
        create_trial(value=v[-1], intermediate_values=dict(enumerate(v, start=1)))
        for v in ([0.1, 0.5, 0.9], [0.2, 0.6, 0.8], [0.3, 0.7, 0.7])
    ]
    return FrozenPruner(known, direction, startup=2, warmup=1)


def test_pruning_compares_with_the_frozen_median() -> None:
    assert not pruner("maximize")([0.0])  # warm-up
    assert pruner("maximize")([0.0, 0.5])
    assert not pruner("maximize")([0.0, 0.65])
    assert not pruner("maximize")([0.9, 0.5])  # its best so far counts, as Optuna has it
    assert pruner("minimize")([0.9, 0.7])


def test_too_few_histories_prune_nothing() -> None:
    assert not FrozenPruner(pruner("maximize").known[:1], "maximize", 2, 0)([0.0])


def test_the_best_trial_is_the_first_of_equals() -> None:
    trials = [
        create_trial(state=TrialState.FAIL, user_attrs={"n": 0}),
        create_trial(value=0.5, user_attrs={"n": 1}),
        create_trial(value=0.7, user_attrs={"n": 2}),
        create_trial(value=0.7, user_attrs={"n": 3}),
    ]
    assert best(trials, "maximize").user_attrs["n"] == 2
    assert best(trials, "minimize").user_attrs["n"] == 1
    assert best(trials[:1], "maximize") is None


def test_optuna_is_the_version_that_is_locked() -> None:
    assert optuna.__version__ == "5.0.0"
