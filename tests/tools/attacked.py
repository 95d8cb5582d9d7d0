"""Runs the command that the chaos suite attacks: `tests/sweeps/harder.py` with longer epochs.

Call: `python -m tests.tools.attacked`. Importing this module, as workers do, gives each epoch
several steps, and each step a checkpoint.
"""

from __future__ import annotations

from benchmarks.specs import profiles
from benchmarks.specs.profiles import Profile
from tests.sweeps import harder

SAMPLES = {"classification": 320, "autoencoding": 256, "prediction": 24}


def load_profile(name: str) -> Profile:
    profile = harder.load_profile(name)
    budgets = {
        task: budget.model_copy(update={"train_samples": SAMPLES[task]})
        for task, budget in profile.budgets.items()
    }
    return profile.model_copy(update={"budgets": budgets})


harder.harden()
profiles.load_profile = load_profile

if __name__ == "__main__":
    from benchmarks.commands.cli import main
    from sweeps.__main__ import app

    main(app)
