"""How much each searched hyper-parameter matters, kept so that reports need no Optuna."""

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
    """Shares of the completed trials' spread by the first objective, by parameter; they sum to 1.

    By PED-ANOVA (Watanabe et al. 2023), which draws nothing at random: equal trials give equal
    shares. Speaks of the parameters that every trial has; empty where all scores are equal, for
    fewer than two trials, and where nothing is searched.
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
        # Few trials, or many ties at the top: all shares are then equal, which they say themselves;
        # and a parameter that hardly a trial has, such as one behind a condition.
        warnings.filterwarnings("ignore", "Target and region quantiles|Some regimes", UserWarning)
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name="importance", direction=direction)
        study.add_trials(done)
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in sorted(shares.items())}


@contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Hides scikit-learn from Optuna 5.0, whose other evaluators take two seconds to import it."""
    hidden = "sklearn" not in sys.modules
    if hidden:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["sklearn"]
