"""The ledger of a cell: what its specs and its trials say, beside what the cell knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from benchmarks.records.ledger import CellLedger, PrunedEpochs, States
from sweeps.cell_specs import CellSpecs


def ledger_of(specs: CellSpecs, trials: Sequence[FrozenTrial], **known: Any) -> CellLedger:
    """Makes the ledger of a cell.

    Args:
        specs: the cell's.
        trials: those that the study has.
        known: the fields of `CellLedger` that follow from neither.
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
        cost=specs.strategy.cost,
        trials=list(run_ids),
        states=States(**Counter(trial.state.name.lower() for trial in trials)),
        epochs=_pruned_epochs(specs, trials),
        **known,
    )


def _pruned_epochs(specs: CellSpecs, trials: Sequence[FrozenTrial]) -> PrunedEpochs:
    """Counts the epochs of pruned trials; of several seeds, whole runs."""
    each, seeds = specs.trial_budget.epochs, specs.strategy.seeds
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    had = sum(len(t.intermediate_values) for t in pruned)
    unit, whole = (1, each) if seeds == 1 else (each, each * seeds)
    return PrunedEpochs(had=had * unit, saved=whole * len(pruned) - had * unit)
