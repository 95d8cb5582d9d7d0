"""Computes how important each searched hyper-parameter is, so that reports need no Optuna."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.records.spec import Direction


def compute_importance(trials: list[FrozenTrial], direction: Direction) -> dict[str, float]:
    """Computes the importance of each searched hyper-parameter for the first objective.

    The method is PED-ANOVA (Watanabe et al. 2023). It uses no random numbers, so that equal trials
    give equal importances.

    Args:
        trials: the finished trials of a study; only complete ones count.
        direction: which way the first objective is better.

    Returns:
        The importance of each hyper-parameter that every trial has, by name; they sum to 1. Empty
        if there are fewer than two different scores, or no hyper-parameter is searched.
    """
    done = [
        create_trial(value=t.values[0], params=t.params, distributions=t.distributions)
        for t in trials
        if t.state == TrialState.COMPLETE
    ]
    if len({trial.value for trial in done}) < 2 or not all(trial.params for trial in done):
        return {}
    with _without_scikit_learn():
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # The first warning: few trials, or many ties among the best, make all importances equal,
        # as the result shows. The second: few trials have a parameter, such as a conditional one.
        warnings.filterwarnings("ignore", "Target and region quantiles|Some regimes", UserWarning)
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name="importance", direction=direction)
        study.add_trials(done)
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in sorted(shares.items())}


@contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Hides scikit-learn from Optuna 5.0, whose other evaluators import it, in two seconds."""
    hidden = "sklearn" not in sys.modules
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["sklearn"]
