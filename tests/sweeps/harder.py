"""`python -m sweeps` with what smoke lacks: more trials than random ones, epochs to prune, and a
checkpoint after each step. What is patched here counts in worker processes too, which import this
file anew.
"""

from __future__ import annotations

import math

from benchmarks import profiles, tracking
from benchmarks.profiles import Name, Profile

tracking.CHECKPOINT_SECONDS = 0.0
tracking.CHECKPOINT_SHARE = math.inf

_load = profiles.load


def load(name: Name) -> Profile:
    profile = _load(name)
    budgets = {t: b.model_copy(update={"epochs": 3}) for t, b in profile.budgets.items()}
    return profile.model_copy(update={"budgets": budgets, "trials": 6})


profiles.load = load

if __name__ == "__main__":
    from benchmarks.cli import main
    from sweeps.__main__ import app

    main(app)
