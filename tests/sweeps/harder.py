"""Runs `python -m sweeps` with trials after the random ones, with pruning, and with more
checkpoints.

Profile smoke has none of these. A checkpoint follows each step. Worker processes import this file
again, so its patches hold there too.
"""

from __future__ import annotations

import math
import os
from typing import Any

import yaml

from benchmarks.runs import journal
from benchmarks.specs import profiles
from benchmarks.specs.profiles import Profile
from sweeps.studies import space

journal.CHECKPOINT_SECONDS = 0.0
journal.CHECKPOINT_SHARE = math.inf

_load = profiles.load_profile


def load_profile(name: str) -> Profile:
    profile = _load(name)
    budgets = {t: b.model_copy(update={"epochs": 3}) for t, b in profile.budgets.items()}
    return profile.model_copy(update={"budgets": budgets, "trials": 6})


profiles.load_profile = load_profile

_load_space = space.load_space


def load_space(*arguments: Any, **named: Any) -> space.Space:
    """Loads a space, and replaces its study configuration by that in $HARDER_STUDY."""
    chosen = _load_space(*arguments, **named)
    said = yaml.safe_load(os.environ.get("HARDER_STUDY", "")) or {}
    chosen.configuration = chosen.configuration.model_validate(said)
    return chosen


space.load_space = load_space

if __name__ == "__main__":
    from benchmarks.commands.cli import main
    from sweeps.__main__ import app

    main(app)
