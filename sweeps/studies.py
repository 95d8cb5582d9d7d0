"""The stored studies, which `optuna` and `optuna-dashboard` open as they are.

Only finished trials are stored, in the order of their numbers, by the driver alone: a study is a
view of the records, and no crash leaves a trial running for ever.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from pydantic import JsonValue
from sqlalchemy.exc import DatabaseError

from benchmarks.errors import InputError
from benchmarks.spec import Direction


def storage(results: Path) -> optuna.storages.RDBStorage:
    """The SQLite storage of a results folder. Raises InputError."""
    path = results / "studies.db"
    try:
        return optuna.storages.RDBStorage(f"sqlite:///{path}")
    except (DatabaseError, RuntimeError) as error:
        raise InputError(
            f"{path} is not a study database of this version ({type(error).__name__}): move it "
            "away, and it is made anew from the runs' records"
        ) from None


class StoredStudy:
    """One study; `identity` is what must not change while it grows."""

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        *,
        directions: list[Direction],
        identity: dict[str, JsonValue],
    ) -> None:
        self._study = optuna.create_study(
            storage=storage, study_name=name, directions=directions, load_if_exists=True
        )
        kept = self._study.user_attrs.get("identity")
        if kept is None:
            self._study.set_user_attr("identity", json.dumps(identity, sort_keys=True))
        else:
            _compare(name, json.loads(kept), identity)
        self.trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)

    def append(self, trial: FrozenTrial) -> None:
        """Adds the next finished trial."""
        trial.datetime_complete = datetime.now()
        trial.datetime_start = trial.datetime_complete - timedelta(
            seconds=trial.user_attrs["seconds"]
        )
        self._study.add_trial(trial)
        self.trials.append(trial)


def _compare(name: str, kept: dict[str, JsonValue], now: dict[str, JsonValue]) -> None:
    changed = sorted(key for key in kept.keys() | now.keys() if kept.get(key) != now.get(key))
    if changed:
        told = ", ".join(
            f"{key} (was {_short(kept.get(key))}, now {_short(now.get(key))})" for key in changed
        )
        raise InputError(
            f"study {name} was begun with other {told}: go on as it was begun, or choose another "
            "--results folder"
        )


def _short(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."
