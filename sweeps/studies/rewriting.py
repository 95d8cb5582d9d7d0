"""Rewrites a stored study, because Optuna cannot change a finished trial.

The new content is written to a second study first, so that a crash loses nothing that users added.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

_WHOLE = "whole"
"""The attribute that marks a second study as complete."""


def rewrite_study(
    storage: BaseStorage, study: optuna.Study, trials: Sequence[FrozenTrial]
) -> optuna.Study:
    """Replaces the trials of a study, and keeps its directions and attributes.

    Args:
        storage: the storage of the study.
        study: the study.
        trials: all trials that the study shall have.

    Returns:
        The rewritten study, which has another id in the storage.
    """
    name = study.study_name
    second = optuna.create_study(
        storage=storage, study_name=_second(name), directions=study.directions
    )
    for key, value in study.user_attrs.items():
        second.set_user_attr(key, value)
    second.add_trials(trials)
    second.set_user_attr(_WHOLE, True)
    complete_rewriting(storage, name)
    return optuna.load_study(storage=storage, study_name=name)


def complete_rewriting(storage: BaseStorage, name: str) -> None:
    """Completes a rewriting that a crash has interrupted; does nothing if there was no crash.

    Args:
        storage: the storage of the study.
        name: the name of the study.
    """
    names = optuna.get_all_study_names(storage)
    if _second(name) not in names:
        return
    if _WHOLE in optuna.load_study(storage=storage, study_name=_second(name)).user_attrs:
        if name in names:
            optuna.delete_study(storage=storage, study_name=name)
        optuna.copy_study(
            from_study_name=_second(name),
            from_storage=storage,
            to_storage=storage,
            to_study_name=name,
        )
    optuna.delete_study(storage=storage, study_name=_second(name))


def _second(name: str) -> str:
    return f"{name} (rewritten)"
