"""`python -m sweeps` with what smoke lacks: more trials than random ones, epochs to prune, and a
checkpoint after each step. What is patched here counts in worker processes too, which import this
file anew.
"""

from __future__ import annotations

import math
import os
from typing import Any

import yaml

from benchmarks import profiles
from benchmarks.profiles import Profile, ProfileName
from benchmarks.runs import journal
from sweeps import space

journal.CHECKPOINT_SECONDS = 0.0
journal.CHECKPOINT_SHARE = math.inf

_load = profiles.load_profile


def load_profile(name: ProfileName) -> Profile:
    profile = _load(name)
    budgets = {t: b.model_copy(update={"epochs": 3}) for t, b in profile.budgets.items()}
    return profile.model_copy(update={"budgets": budgets, "trials": 6})


profiles.load_profile = load_profile

_load_space = space.load_space


def load_space(*arguments: Any, **named: Any) -> space.Space:
    """A space that says of its studies what $HARDER_STUDY says."""
    chosen = _load_space(*arguments, **named)
    said = yaml.safe_load(os.environ.get("HARDER_STUDY", "")) or {}
    chosen.configuration = chosen.configuration.model_validate(said)
    return chosen


space.load_space = load_space

if __name__ == "__main__":
    from benchmarks.cli import main
    from sweeps.__main__ import app

    main(app)
