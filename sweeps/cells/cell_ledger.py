"""Makes the ledger of a cell from its specs, its trials and its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from benchmarks.records.ledger import CellLedger, PrunedEpochs, States
from sweeps.cells.cell_specs import CellSpecs


def ledger_of(specs: CellSpecs, trials: Sequence[FrozenTrial], **known: Any) -> CellLedger:
    """Makes the ledger of a cell.

    Args:
        specs: makes the specs of the cell's runs.
        trials: the trials that the study has.
        known: the fields of `CellLedger` that follow neither from the specs nor from the trials.

    Returns:
        The ledger.
    """
    run_ids = dict.fromkeys(r for t in trials for r in t.user_attrs["run_ids"])
    return CellLedger(
        study=specs.study,
        variant=specs.variant,
        dataset=specs.dataset,
        task=specs.task,
        profile=specs.profile.name.value,
        metric=specs.metric,
        directions=specs.directions,
        data=specs.data.state,
        cost=specs.configuration.cost,
        trials=list(run_ids),
        states=States(**Counter(trial.state.name.lower() for trial in trials)),
        epochs=_pruned_epochs(specs, trials),
        **known,
    )


def _pruned_epochs(specs: CellSpecs, trials: Sequence[FrozenTrial]) -> PrunedEpochs:
    """Counts the epochs that pruned trials trained and saved; trials of several seeds save runs."""
    each, seeds = specs.trial_budget.epochs, specs.configuration.seeds
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    had = sum(len(t.intermediate_values) for t in pruned)
    unit, whole = (1, each) if seeds == 1 else (each, each * seeds)
    return PrunedEpochs(had=had * unit, saved=whole * len(pruned) - had * unit)
