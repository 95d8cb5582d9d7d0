"""The record of a run: what its spec and its outcome make of it."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save

from benchmarks import datasets, metrics
from benchmarks.datasets.sequences import Frames
from benchmarks.datasets.task_data import TaskData
from benchmarks.provenance import provenance
from benchmarks.records.atomic_files import write_atomically, write_json
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord, Status
from benchmarks.records.spec import Direction, RunSpec
from benchmarks.runs import costs
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import build_model
from models import registry
from models.variant import Hyperparameters


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended; `RunRecord` explains the fields that it shares with this class."""

    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of `metrics.jsonl`."""
    scores: list[float] = field(default_factory=list)
    """The primary validation metric after each epoch."""
    pictures: Mapping[str, Path] = field(default_factory=dict)
    weights_sha256: str | None = None
    reason: str | None = None
    traceback: str | None = None
    step: int | None = None


class Scoring(NamedTuple):
    """By what a run is scored."""

    directions: dict[str, Direction]
    """Which way each metric is better."""
    absent: dict[str, str]
    """Metrics that have no meaning for the run, with the reason."""

    @property
    def primary(self) -> str:
        """The name of the primary metric."""
        return next(iter(self.directions))


def scoring_of(spec: RunSpec) -> Scoring:
    """Says by what a run is scored."""
    task = registry.available()[spec.variant].task
    lacks = registry.variant(spec.variant).lacks
    return Scoring(
        metrics.directions(task, spec.dataset), {**metrics.absent(task, spec.dataset), **lacks}
    )


def attempt(journal: Journal, train: Callable[[], Outcome]) -> Outcome:
    """Calls `train`; an exception that is the run's own fault is its outcome.

    Raises:
        InputError, OSError: those of `train`, since they are not the run's fault.
    """
    try:
        return train()
    except (InputError, OSError):
        raise
    except Exception as error:
        return Outcome(
            status="failed",
            history=journal.history,
            scores=journal.scores(),
            reason=_reason(error),
            traceback=traceback.format_exc(),
            step=journal.step,
        )


def record_of(
    spec: RunSpec,
    outcome: Outcome,
    *,
    study: str | None,
    data: TaskData | None = None,
    journal: Journal | None = None,
) -> RunRecord:
    """Makes the record of a run.

    Args:
        spec: of the run.
        outcome: how it ended.
        study: the study that the run belongs to, if any.
        data: what the run saw; None if its process died.
        journal: knows how long the run took; None if its process died.
    """
    scoring = scoring_of(spec)
    decided: dict[str, Any] = {
        "spec": spec.model_dump(mode="json"),
        "status": outcome.status,
        "reason": outcome.reason,
        "epochs": len(outcome.history),
        "metric": scoring.primary,
        "directions": scoring.directions,
        "absent": scoring.absent,
        "metrics": outcome.metrics,
        "floors": outcome.floors,
        "samples": None if data is None else data.counts.model_dump(mode="json"),
        "history": outcome.scores,
        "weights_sha256": outcome.weights_sha256,
        "step": outcome.step,
    }
    info = None if data is None else data.info
    return RunRecord(
        run_id=spec.run_id,
        study=study,
        traceback=outcome.traceback,
        digest=RunRecord.digest_of(decided, outcome.history),
        costs=_costs(spec, len(outcome.history), data, journal),
        provenance=provenance().model_copy(update={"data": info}),
        **decided,
    )


def write_record(record: RunRecord, folder: RunFolder) -> None:
    """Writes a record into its run's folder, and removes the checkpoints of the run."""
    write_json(folder.record, record.model_dump(mode="json"))
    Checkpoints(folder.path).clear()


def save_weights(model: torch.nn.Module, folder: RunFolder) -> str | None:
    """Writes the weights of a model as safetensors; returns their SHA-256, None if it has none."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if not state:
        return None
    content = save(state)
    write_atomically(folder.weights, content)
    return hashlib.sha256(content).hexdigest()


def _costs(
    spec: RunSpec, epochs: int, data: TaskData | None, journal: Journal | None
) -> dict[str, int | float | None]:
    """Says what a run took. Time and memory of a process that died are not known."""
    config = registry.variant(spec.variant).Config.model_validate(spec.hyperparameters)
    found: dict[str, int | float | None] = {**_counts(spec, config), "seconds": None}
    found |= dict.fromkeys(("train_seconds", "samples_per_second", "peak_memory_bytes"))
    if data is not None and journal is not None:
        count, size = len(data.train), config.batch_size
        # A last batch that is not full is left out, unless it is the only one.
        seen = min(count, max(1, count // size) * size) * epochs
        seconds = journal.train_seconds
        found["seconds"], found["train_seconds"] = journal.seconds, seconds
        found["samples_per_second"] = seen / seconds if seconds else None
        found["peak_memory_bytes"] = costs.peak_memory_bytes(spec.device)
    return found


def _counts(spec: RunSpec, config: Hyperparameters) -> Mapping[str, int | None]:
    try:
        task = registry.available()[spec.variant].task
        shape = datasets.find(spec.dataset).shape_of(task, Frames.of(config))
        return costs.count_parameters_and_flops(partial(build_model, spec, shape), shape)
    except Exception:
        # The run has failed for the same cause, and its record says so.
        return {"parameters": None, "flops_per_sample": None}


def _reason(error: Exception) -> str:
    """Writes one line, which is equal wherever the same goes wrong."""
    message = str(error).strip() or "no message"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate" in message:
        # The message counts bytes that were free, and names processes.
        return "OutOfMemory: the memory does not suffice for this run"
    return f"{type(error).__name__}: {message.splitlines()[0]}"
