from __future__ import annotations

import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.records.spec import Direction
from sweeps.studies.importance import compute_importance

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(0, 1),
    "idle": FloatDistribution(0, 1),
}


def trial(lr: float, idle: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    return create_trial(
        params={"lr": lr, "idle": idle},
        distributions=SPACE,
        value=lr**2 if state == TrialState.COMPLETE else None,
        state=state,
    )


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_what_decides_the_score_matters_most(direction: Direction) -> None:
    trials = [trial(n / 40, (7 * n % 40) / 40) for n in range(40)]
    shares = compute_importance(trials, direction)
    assert shares["lr"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert compute_importance(trials, direction) == shares


def test_few_failed_or_unsearched_trials_have_none() -> None:
    failed = trial(0.5, 0.5, TrialState.FAIL)
    assert compute_importance([], "maximize") == {}
    assert compute_importance([trial(0.1, 0.2), failed], "maximize") == {}
    plain = create_trial(params={}, distributions={}, value=1.0)
    assert compute_importance([plain, plain], "maximize") == {}


def test_equal_scores_tell_nothing() -> None:
    assert compute_importance([trial(0.5, 0.5), trial(0.5, 0.25)], "maximize") == {}


def test_two_trials_are_no_error() -> None:
    assert set(compute_importance([trial(0.5, 0.5), trial(0.25, 0.25)], "maximize")) == {
        "lr",
        "idle",
    }


def test_of_two_objectives_the_first_counts() -> None:
    one = [trial(n / 40, (7 * n % 40) / 40) for n in range(40)]
    two = [
        create_trial(
            params=t.params, distributions=t.distributions, values=[*t.values, t.params["idle"]]
        )
        for t in one
    ]
    assert compute_importance(two, "maximize") == compute_importance(one, "maximize")


def test_a_parameter_that_one_trial_has_is_no_error() -> None:
    rate = {"rate": FloatDistribution(0, 1)}
    one = create_trial(
        params={"lr": 0.5, "rate": 0.5},
        distributions={"lr": SPACE["lr"], **rate},
        value=0.25,
    )
    others = [
        create_trial(params={"lr": n / 4}, distributions={"lr": SPACE["lr"]}, value=n / 4)
        for n in range(1, 4)
    ]
    assert "lr" in compute_importance([one, *others], "maximize")
