"""Makes and writes the record of a run, from its spec and its outcome."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from benchmarks import metrics
from benchmarks.datasets.task_data import TaskData
from benchmarks.provenance import provenance
from benchmarks.records.atomic_files import sha256_of, write_json
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord, Status
from benchmarks.records.spec import Direction, RunSpec
from benchmarks.runs import costs
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import build_model, config_of, shape_of
from models import registry

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Holds how a training ended; `RunRecord` explains the fields of the same name."""

    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    test_losses: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    """The lines of `metrics.jsonl`."""
    scores: list[float] = field(default_factory=list)
    """The primary validation metric after each epoch."""
    pictures: Mapping[str, Path] = field(default_factory=dict)
    """The PNG files by name of the picture."""
    weights_sha256: str | None = None
    reason: str | None = None
    traceback: str | None = None
    step: int | None = None


class Scoring(NamedTuple):
    """Names the metrics of a run."""

    directions: dict[str, Direction]
    """By metric, which way is better; the primary metric is first."""
    absent: dict[str, str]
    """By metric that has no meaning for the run, the reason."""

    @property
    def primary(self) -> str:
        """Returns the name of the primary metric."""
        return next(iter(self.directions))


def scoring_of(spec: RunSpec) -> Scoring:
    """Looks up the metrics of a run.

    Args:
        spec: the spec of the run.

    Returns:
        The directions of the metrics, and the metrics that have no meaning for the run.
    """
    task = registry.available()[spec.variant].task
    lacks = registry.variant(spec.variant).undefined_metrics
    return Scoring(
        metrics.directions(task, spec.dataset), {**metrics.absent(task, spec.dataset), **lacks}
    )


def attempt(part: Callable[[], T], journal: Journal | None = None) -> T | Outcome:
    """Calls a part of a run, and turns an exception that the run caused into a failed outcome.

    Args:
        part: for instance trains and evaluates the run.
        journal: the journal of the training, which says how far the run came; None before there is
            one.

    Returns:
        What `part` returns; after an exception, the outcome of a failed run.

    Raises:
        InputError: if `part` raises it: the input is wrong, not the run.
        OSError: if `part` raises it: a file or the disk is wrong, not the run.
    """
    try:
        return part()
    except (InputError, OSError):
        raise
    except Exception as error:
        return Outcome(
            status="failed",
            history=journal.history if journal else [],
            scores=journal.scores() if journal else [],
            reason=_reason(error),
            traceback=traceback.format_exc(),
            step=journal.step if journal else 0,
        )


def make_record(
    spec: RunSpec,
    outcome: Outcome,
    *,
    study: str | None,
    data: TaskData | None = None,
    journal: Journal | None = None,
) -> RunRecord:
    """Makes the record of a run.

    Args:
        spec: the spec of the run.
        outcome: how the training ended.
        study: the name of the study that the run belongs to, if any.
        data: the data of the run; None if its process died, or the data could not be loaded.
        journal: knows the run's times; None if its process died.

    Returns:
        The record, which is not written yet.
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
        test_losses=outcome.test_losses,
        digest=RunRecord.digest_of(decided, outcome.history),
        costs=_costs(spec, len(outcome.history), data, journal),
        provenance=provenance().model_copy(update={"data": info}),
        **decided,
    )


def write_record(record: RunRecord, folder: RunFolder) -> RunRecord:
    """Seals a record, writes it into the folder of its run, and deletes the run's checkpoints.

    Args:
        record: the record; the weights of the run, if any, are written already.
        folder: the folder of the run.

    Returns:
        The sealed record, as it is in the folder.

    Raises:
        OSError: if the record cannot be written; the checkpoints stay.
    """
    trained = record.weights_sha256 is not None
    sealed = record.sealed(weights_file_sha256=sha256_of(folder.weights) if trained else None)
    write_json(folder.record, sealed.model_dump(mode="json"))
    Checkpoints(folder.path).clear()
    return sealed


def _costs(
    spec: RunSpec, epochs: int, data: TaskData | None, journal: Journal | None
) -> dict[str, int | float | None]:
    """Collects the costs of a run by name; time and memory are None if `data` or `journal` is."""
    config = config_of(spec)
    found: dict[str, int | float | None] = {**_counts(spec), "seconds": None}
    found |= dict.fromkeys(("train_seconds", "samples_per_second", "peak_memory_bytes"))
    if data is not None and journal is not None:
        count, size = len(data.train), config.batch_size
        # An incomplete last batch is left out, unless it is the only batch.
        seen = min(count, max(1, count // size) * size) * epochs
        seconds = journal.train_seconds
        found["seconds"], found["train_seconds"] = journal.seconds, seconds
        found["samples_per_second"] = seen / seconds if seconds else None
        found["peak_memory_bytes"] = costs.peak_memory_bytes(spec.device)
    return found


def _counts(spec: RunSpec) -> Mapping[str, int | None]:
    try:
        shape = shape_of(spec)
        return costs.count_parameters_and_flops(partial(build_model, spec, shape), shape)
    except Exception:
        # A model that cannot be built has failed the run already, and the record has the reason.
        return {"parameters": None, "flops_per_sample": None}


def _reason(error: Exception) -> str:
    """Describes an exception in one line that does not depend on the machine."""
    message = str(error).strip() or "no message"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate" in message:
        # PyTorch's message has numbers of free bytes and of processes, which differ by machine.
        return "OutOfMemory: the memory does not suffice for this run"
    return f"{type(error).__name__}: {message.splitlines()[0]}"
