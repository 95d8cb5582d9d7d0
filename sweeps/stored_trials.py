"""Distinguishes the trials of a stored study: those of a sweep, and those that users added."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

FIXED = "fixed_params"
"""The attribute in which Optuna keeps an enqueued point."""


@dataclass
class Enqueued:
    """Names a point that a user enqueued, as `Study.enqueue_trial` does."""

    place: int
    """The number of its trial in the storage; it changes when the study is rewritten."""
    params: dict[str, Any]


def same_result(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Returns whether two trials have equal runs and results; what they cost may differ."""
    return _result(one) == _result(other)


def _result(trial: FrozenTrial) -> tuple[object, ...]:
    attributes = trial.user_attrs
    return (
        trial.state,
        trial.values,
        trial.intermediate_values,
        attributes["run_ids"],
        attributes.get("reason"),
    )


def was_enqueued(trial: FrozenTrial) -> bool:
    """Returns whether a stored trial tried a point that a user enqueued."""
    return FIXED in trial.system_attrs


def is_ours(trial: FrozenTrial) -> bool:
    """Returns whether a stored trial is a finished one of a sweep."""
    return trial.state.is_finished() and "run_ids" in trial.user_attrs


def is_enqueued(trial: FrozenTrial) -> bool:
    """Returns whether a point waits to be tried, or its result was not wholly written."""
    begun = trial.state == TrialState.RUNNING and "run_ids" in trial.user_attrs
    return was_enqueued(trial) and (trial.state == TrialState.WAITING or begun)


def numbered(trial: FrozenTrial) -> FrozenTrial:
    """Returns a stored trial with its number in the sweep."""
    number = trial.user_attrs.get("number", trial.number)
    if number != trial.number:
        trial = copy(trial)  # the storage keeps the other
        trial.number = number
    return trial
