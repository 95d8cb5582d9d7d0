"""Runs `python -m sweeps` with trials after the random ones, with pruning, and with more
checkpoints.

Profile smoke has none of these. A checkpoint follows each step. Worker processes run this file
again, so its changes hold there too. A test changes its own process by `harden`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import yaml

from benchmarks.runs import journal
from benchmarks.specs import profiles
from benchmarks.specs.profiles import Profile
from sweeps.studies import space

_load = profiles.load_profile


def load_profile(name: str) -> Profile:
    profile = _load(name)
    budgets = {t: b.model_copy(update={"epochs": 3}) for t, b in profile.budgets.items()}
    return profile.model_copy(update={"budgets": budgets, "trials": 6})


_load_space = space.load_space


def load_space(*arguments: Any, **named: Any) -> space.Space:
    """Loads a space, and replaces its study configuration by that in $HARDER_STUDY."""
    chosen = _load_space(*arguments, **named)
    said = yaml.safe_load(os.environ.get("HARDER_STUDY", "")) or {}
    chosen.configuration = chosen.configuration.model_validate(said)
    return chosen


def harden(change: Callable[[object, str, object], None] = setattr) -> None:
    """Makes the sweeps of this process harder.

    Args:
        change: sets an attribute of a module; a test gives `monkeypatch.setattr`, which restores
            it.
    """
    change(journal, "CHECKPOINT_SECONDS", 0.0)
    change(journal, "CHECKPOINT_SHARE", math.inf)
    change(profiles, "load_profile", load_profile)
    change(space, "load_space", load_space)


if __name__ in ("__main__", "__mp_main__"):
    harden()

if __name__ == "__main__":
    from benchmarks.commands.cli import main
    from sweeps import progress
    from sweeps.__main__ import app

    progress.TIMING_AFTER = math.inf  # no test reads the time left; the chaos suite has it
    main(app)
