"""Distinguishes the trials of a stored study: trials of a sweep, and trials that users added."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

FIXED = "fixed_params"
"""The attribute in which Optuna stores an enqueued point."""


@dataclass
class EnqueuedPoint:
    """Holds a point that a user enqueued with `Study.enqueue_trial` or optuna-dashboard."""

    place: int
    """The number of the point's trial in the storage; it changes when the study is rewritten."""
    params: dict[str, Any]


def same_result(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Returns whether two trials have equal runs and results; their costs may differ.

    Args:
        one: a trial of a sweep.
        other: another trial of a sweep.
    """
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
    """Returns whether a stored trial tries a point that a user enqueued.

    Args:
        trial: the stored trial.
    """
    return FIXED in trial.system_attrs


def is_ours(trial: FrozenTrial) -> bool:
    """Returns whether a stored trial belongs to a sweep and has finished.

    Args:
        trial: the stored trial.
    """
    return trial.state.is_finished() and "run_ids" in trial.user_attrs


def is_enqueued(trial: FrozenTrial) -> bool:
    """Returns whether a stored trial is an enqueued point without a completely written result.

    Args:
        trial: the stored trial.
    """
    begun = trial.state == TrialState.RUNNING and "run_ids" in trial.user_attrs
    return was_enqueued(trial) and (trial.state == TrialState.WAITING or begun)


def numbered(trial: FrozenTrial) -> FrozenTrial:
    """Returns a stored trial with its number in the sweep instead of its number in the storage.

    Args:
        trial: the stored trial, which is not changed.
    """
    number = trial.user_attrs.get("number", trial.number)
    if number != trial.number:
        trial = copy(trial)  # the storage may cache the original
        trial.number = number
    return trial
