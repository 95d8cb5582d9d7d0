"""Tests that proposals and pruning do not depend on workers, crashes or the order of finishing."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.records.errors import InputError
from benchmarks.records.spec import Direction
from benchmarks.specs.profiles import ProfileName
from models import registry
from sweeps.studies import space
from sweeps.studies.proposals import Proposal, Proposals, WindowedStorage, best_trial
from sweeps.studies.study_configuration import Sampler
from tests.narrowing import present

TRIALS = 8
DIRECTIONS: list[Direction] = ["maximize", "minimize"]


def proposals(
    lag: int,
    sampler: Sampler = Sampler.tpe,
    objectives: int = 1,
    points: Sequence[dict[str, Any]] = (),
) -> Proposals:
    # capsnet's space has a condition; cmaes asks for two ranges without one.
    variant = "cnn" if sampler is Sampler.cmaes else "capsnet"
    chosen = space.load_space(variant, registry.variant(variant), ProfileName.standard)
    return Proposals(
        chosen,
        study="study",
        seed=0,
        directions=DIRECTIONS[:objectives],
        lag=lag,
        startup=4,
        sampler=sampler,
        start=[chosen.point(point) for point in points],
    )


def outcome(number: int, params: dict[str, Any]) -> Any:
    """Makes a record that depends on the proposal alone; some runs fail, some are pruned."""
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
        costs={"seconds": 1.0, "parameters": draw.randrange(1000)},
        provenance=SimpleNamespace(code_version="0"),
    )


def finished(proposal: Proposal, objectives: int = 1) -> FrozenTrial:
    record = outcome(proposal.number, proposal.params)
    if objectives == 1:
        return proposal.finished([record])
    record.status = "failed" if record.status == "failed" else "complete"
    return proposal.finished([record], cost="parameters")


def simulate(
    study: Proposals, workers: int, order: random.Random, objectives: int = 1
) -> list[dict[str, Any]]:
    """Runs a study with workers that finish in random order."""
    running: list[Proposal] = []
    params: list[dict[str, Any]] = []
    while len(params) < TRIALS or running:
        while len(running) < workers and len(params) < TRIALS and study.ready:
            proposal = study.propose()
            assert proposal.number == len(params)
            params.append(proposal.params)
            running.append(proposal)
        done = running.pop(order.randrange(len(running)))
        study.finish(done.number, finished(done, objectives))
    return params


EVERY_SAMPLER = [pytest.param(sampler, 1, id=sampler) for sampler in Sampler] + [
    pytest.param(sampler, 2, id=f"{sampler}-two-objectives")
    for sampler in Sampler
    if sampler is not Sampler.cmaes
]


@pytest.mark.parametrize(("sampler", "objectives"), EVERY_SAMPLER)
def test_any_number_of_workers_any_order_and_any_crash_give_the_same_trials(
    sampler: Sampler, objectives: int
) -> None:
    """Every sampler has to satisfy this."""
    expected = simulate(proposals(3, sampler, objectives), 1, random.Random(0), objectives)
    assert len({repr(p) for p in expected}) == TRIALS
    for workers, seed in ((2, 0), (3, 1)):
        study = proposals(3, sampler, objectives)
        assert simulate(study, workers, random.Random(seed), objectives) == expected
    first, again = proposals(3, sampler, objectives), proposals(3, sampler, objectives)
    for number in range(TRIALS // 2):
        proposal = first.propose()
        trial = finished(proposal, objectives)
        first.finish(number, trial)
        again.skip(copy.deepcopy(trial))
    for number in range(TRIALS // 2, TRIALS):
        proposal = again.propose()
        assert proposal.params == expected[number]
        again.finish(number, finished(proposal, objectives))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_of_a_long_study_samplers_see_the_newest_trials_and_the_best_of_the_others(
    monkeypatch: pytest.MonkeyPatch, direction: Direction
) -> None:
    monkeypatch.setattr("sweeps.studies.proposals.NEWEST", 4)
    monkeypatch.setattr("sweeps.studies.proposals.BEST", 2)
    study = optuna.create_study(storage=WindowedStorage(), direction=direction)
    values = [3.0, None, 9.0, 1.0, 9.0, 1.0, 2.0, 5.0, 4.0, None, 4.0, 4.0, 4.0]
    for number, value in enumerate(values):
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, value=value))
        if number == 6:
            assert len(study.trials) == 7
    best_of_others = [2, 4] if direction == "maximize" else [3, 5]
    assert [t.number for t in study.trials] == [*best_of_others, 8, 9, 10, 11, 12]


@pytest.mark.parametrize("sampler", [Sampler.tpe, Sampler.gp, Sampler.cmaes])
def test_the_contract_holds_for_long_studies(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler
) -> None:
    monkeypatch.setattr("sweeps.studies.proposals.NEWEST", 2)
    monkeypatch.setattr("sweeps.studies.proposals.BEST", 1)
    test_any_number_of_workers_any_order_and_any_crash_give_the_same_trials(sampler, 1)


@pytest.mark.parametrize("lag", [1, 4])
def test_any_lag_serves(lag: int) -> None:
    expected = simulate(proposals(lag), 1, random.Random(0))
    assert simulate(proposals(lag), 4, random.Random(1)) == expected


@settings(max_examples=15, deadline=None)
@given(killed=st.integers(0, TRIALS - 1), lag=st.sampled_from([1, 3]))
def test_a_study_that_was_killed_proposes_as_if_it_was_not(killed: int, lag: int) -> None:
    expected = simulate(proposals(lag), 1, random.Random(0))
    first, again = proposals(lag), proposals(lag)
    for number in range(killed):
        proposal = first.propose()
        trial = finished(proposal)
        first.finish(number, trial)
        again.skip(trial)
    for number in range(killed, TRIALS):
        proposal = again.propose()
        assert proposal.params == expected[number]
        again.finish(number, finished(proposal))


def test_a_proposal_waits_for_the_results_it_is_made_of() -> None:
    study = proposals(lag=2)
    first, second = study.propose(), study.propose()
    assert not study.ready
    study.finish(second.number, finished(second))
    assert not study.ready
    study.finish(first.number, finished(first))
    assert study.ready


@pytest.mark.parametrize("sampler", [Sampler.tpe, Sampler.gp, Sampler.cmaes])
def test_a_sampler_learns_from_results(sampler: Sampler) -> None:
    """After the random trials, proposals are more frequent near good results."""
    chosen = space.load_space("linear", registry.variant("linear"), ProfileName.standard)
    study = Proposals(
        chosen, study="s", seed=0, directions=["maximize"], lag=2, startup=8, sampler=sampler
    )
    rates = []
    for _ in range(40):
        proposal = study.propose()
        rate = math.log(proposal.params["lr"])
        record = outcome(proposal.number, {})
        record.status, record.history, record.score = "complete", [-rate], -rate
        study.finish(proposal.number, proposal.finished([record]))
        rates.append(rate)
    low, high = math.log(3e-4), math.log(3e-2)
    assert statistics.mean(rates[-10:]) < low + 0.4 * (high - low)


@pytest.mark.parametrize("sampler", [Sampler.qmc, Sampler.grid])
def test_a_sequence_fills_the_space(sampler: Sampler) -> None:
    """Each quarter of a range has a quarter of the values."""
    chosen = space.load_space("linear", registry.variant("linear"), ProfileName.standard)
    study = Proposals(
        chosen, study="s", seed=0, directions=["maximize"], lag=17, startup=1, sampler=sampler
    )
    study.propose()  # the recipe
    quarters: Counter[int] = Counter()
    for _ in range(16):
        rate = study.propose().params["lr"]
        quarters[min(3, int(4 * math.log(rate / 3e-4) / math.log(100)))] += 1
    assert quarters == {0: 4, 1: 4, 2: 4, 3: 4}


RECIPE = {
    "cnn": {"lr": 3e-3, "weight_decay": 1e-2, "dropout": 0.0, "shift": 2},
    "capsnet": {
        "lr": 1e-3,
        "routing_iterations": 3,
        "reconstruction": True,
        "reconstruction_weight": 0.0005,
    },
}


@pytest.mark.parametrize(("sampler", "objectives"), EVERY_SAMPLER)
def test_trial_0_is_the_recipe_and_then_come_the_points_to_start_from(
    sampler: Sampler, objectives: int
) -> None:
    variant = "cnn" if sampler is Sampler.cmaes else "capsnet"
    recipe = RECIPE[variant]
    points = [{"lr": 2e-3}, {}, {"lr": 2e-3}, {"lr": 4e-3}]
    study = proposals(3, sampler, objectives, points)
    tried = [study.propose().params for _ in range(3)]
    assert tried == [recipe, {**recipe, "lr": 2e-3}, {**recipe, "lr": 4e-3}]
    expected = simulate(proposals(3, sampler, objectives, points), 1, random.Random(0), objectives)
    assert expected[:3] == tried
    assert len({repr(params) for params in expected}) == TRIALS
    again = proposals(3, sampler, objectives, points)
    assert simulate(again, 3, random.Random(1), objectives) == expected


def test_a_grid_does_not_try_a_start_point_again() -> None:
    """The grid of linear contains the corners of its ranges."""
    corner = {"lr": 3e-4, "weight_decay": 1e-5}
    study = Proposals(
        space.load_space("linear", registry.variant("linear"), ProfileName.standard),
        study="s",
        seed=0,
        directions=["maximize"],
        lag=100,
        startup=1,
        sampler=Sampler.grid,
        start=[corner],
    )
    assert study.limit == 1 + 4 * 4
    tried = [study.propose().params for _ in range(study.limit)]
    assert tried[:2] == [{"lr": 1e-3, "weight_decay": 1e-2}, corner]
    assert tried.count(corner) == 1


def test_a_grid_has_each_point_once_and_then_ends() -> None:
    study = proposals(1000, Sampler.grid)
    points = [study.propose().params for _ in range(study.limit or 0)]
    assert len({repr(sorted(point.items())) for point in points}) == len(points)
    # The recipe; lr and reconstruction_weight have 4 values, routing 3; without reconstruction no
    # weight.
    assert len(points) == 1 + 4 * 3 * (4 + 1)
    assert all(("reconstruction_weight" in p) == p["reconstruction"] for p in points)


def test_cmaes_needs_two_ranges() -> None:
    chosen = space.load_space("convlstm", registry.variant("convlstm"), ProfileName.standard)
    with pytest.raises(InputError, match="cmaes needs two ranges"):
        Proposals(
            chosen,
            study="s",
            seed=0,
            directions=["minimize"],
            lag=2,
            startup=2,
            sampler=Sampler.cmaes,
        )


def test_cmaes_reads_no_notes_from_a_stored_study() -> None:
    """The notes are pickles, and a study from elsewhere must not run code."""
    study = proposals(1, Sampler.cmaes)
    for _ in range(12):
        proposal = study.propose()
        trial = finished(proposal)
        assert not trial.system_attrs
        study.finish(proposal.number, trial)
    other, first = proposals(1, Sampler.cmaes), proposals(1, Sampler.cmaes).propose()
    wrong = finished(dataclasses.replace(first, params={**first.params, "dropout": 0.25}))
    with pytest.raises(InputError, match="not what this version proposes"):
        other.skip(wrong)


def test_a_trial_over_seeds_scores_their_mean() -> None:
    proposal = proposals(1).propose()
    records = [outcome(n, {}) for n in range(3)]
    for record, score in zip(records, (0.2, 0.4, 0.9), strict=True):
        record.status, record.score = "complete", score
    trial = proposal.finished(records)
    assert trial.value == pytest.approx(0.5)
    assert trial.intermediate_values == {1: 0.2, 2: 0.4, 3: 0.9}
    assert trial.user_attrs["run_ids"] == ["run-0", "run-1", "run-2"]
    assert proposal.finished(records[:2], stopped=True).state == TrialState.PRUNED
    records[1].status, records[1].reason = "failed", "why"
    failed = proposal.finished(records)
    assert (failed.state, failed.user_attrs["reason"]) == (TrialState.FAIL, "why")


def test_the_best_trial_is_the_first_of_equals() -> None:
    trials = [
        create_trial(state=TrialState.FAIL, user_attrs={"n": 0}),
        create_trial(value=0.5, user_attrs={"n": 1}),
        create_trial(value=0.7, user_attrs={"n": 2}),
        create_trial(value=0.7, user_attrs={"n": 3}),
    ]
    assert present(best_trial(trials, ["maximize"])).user_attrs["n"] == 2
    assert present(best_trial(trials, ["minimize"])).user_attrs["n"] == 1
    assert best_trial(trials[:1], ["maximize"]) is None


def test_of_equally_good_trials_the_cheaper_is_best() -> None:
    trials = [create_trial(values=values) for values in ([0.7, 9], [0.7, 5], [0.6, 1])]
    assert best_trial(trials, ["maximize", "minimize"]) is trials[1]


def test_optuna_is_the_version_that_is_locked() -> None:
    assert optuna.__version__ == "5.0.0"
