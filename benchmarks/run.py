"""`run(spec) -> record`: one training with its evaluation, a pure function of its spec."""

from __future__ import annotations

import gc
import hashlib
import logging
import math
import os
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.profilers import PassThroughProfiler
from safetensors.torch import load_file, save

from benchmarks import costs, leaving, metrics, protocol, tasks
from benchmarks.batches import Frames
from benchmarks.checkpoints import Checkpoints
from benchmarks.errors import InputError
from benchmarks.files import sha256_of, write_atomically, write_json
from benchmarks.logs import PLAIN, Logging
from benchmarks.protocol import DataSource, TaskData
from benchmarks.provenance import provenance
from benchmarks.records import folder, kept_record, read_record
from benchmarks.seeds import derive
from benchmarks.spec import RunRecord, RunSpec, Status, Stop, fingerprint
from benchmarks.tracking import Journal, Mirror, require_finite, save_pictures, scores_of
from models import registry
from models.variant import PredictionHyperparameters, Shape, Variant

LOCK_SECONDS = 20.0
"""How long a run waits for a dying process that holds its folder."""


def run(
    spec: RunSpec,
    *,
    source: DataSource,
    results: Path,
    study: str | None = None,
    stop: Stop | None = None,
    callbacks: list[pl.Callback] | None = None,
    log: Logging = PLAIN,
    debug: bool = False,
) -> RunRecord:
    """Trains, scores, records; or returns the record that is there.

    The run that it rests on, if any, is made first. What goes wrong in the training is a record of
    status `failed`. With `debug`, autograd's anomaly detection names the operation whose gradient
    is NaN: it takes time, and decides no number. Raises InputError where the data is not what the
    spec says, or another process makes the same run; OSError where files cannot be written; Leave
    where SIGTERM or Ctrl-C ended the training, once it has its checkpoint.
    """
    log.name_of(spec)  # a pattern that gives no name is known at once
    record = kept_record(results, spec.run_id)
    if record is not None:
        return record
    if spec.base is not None:
        shown = log.of_base()
        base = run(
            spec.base, source=source, results=results, callbacks=callbacks, log=shown, debug=debug
        )
        if base.status != "complete":
            reason = f"the run it rests on, {base.run_id}, has {base.status}: {base.reason}"
            return give_up(
                spec, source=source, results=results, study=study, reason=reason, log=log
            )
    home = _home(results, spec)
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / ".lock", timeout=LOCK_SECONDS):
            made = _Run(spec, source, home, study, stop, callbacks or [], log, debug)
            return made.record()
    except Timeout:
        raise InputError(
            f"run {spec.run_id} is being made by another process: wait for it, or stop it"
        ) from None


def give_up(
    spec: RunSpec,
    *,
    source: DataSource,
    results: Path,
    study: str | None,
    reason: str,
    traceback: str | None = None,
    log: Logging = PLAIN,
) -> RunRecord:
    """Records a run as failed whose process did not live to do so."""
    given_up = _Run(spec, source, _home(results, spec), study, None, [], log)
    return given_up.failed(reason, traceback)


def _home(results: Path, spec: RunSpec) -> Path:
    """Names a run's folder as libraries take it as it is: they expand ~ only at the beginning."""
    return folder(results, spec.run_id).absolute()


@dataclass
class _Outcome:
    status: Status
    metrics: dict[str, float]
    floors: dict[str, dict[str, float]]
    history: list[dict[str, Any]]
    scores: list[float]
    weights_sha256: str | None = None
    reason: str | None = None
    traceback: str | None = None
    step: int | None = None


class _Run:
    def __init__(
        self,
        spec: RunSpec,
        source: DataSource,
        home: Path,
        study: str | None,
        stop: Stop | None,
        callbacks: list[pl.Callback],
        log: Logging = PLAIN,
        debug: bool = False,
    ) -> None:
        self.spec, self.home, self.study, self.stop = spec, home, study, stop
        self.callbacks, self.log, self.debug = callbacks, log, debug
        self.task = registry.available()[spec.variant].task
        self.config = registry.variant(spec.variant).Config.model_validate(spec.hyperparameters)
        self.data = self._load(source)
        self.directions = metrics.directions(self.task, spec.dataset)
        self.metric = next(iter(self.directions))
        lacks = registry.variant(spec.variant).lacks
        self.absent = {**metrics.absent(self.task, spec.dataset), **lacks}

    def _load(self, source: DataSource) -> TaskData:
        data = protocol.load(
            self.task,
            self.spec.dataset,
            budget=self.spec.budget,
            source=source,
            seed=self.spec.seed,
            device=self.spec.device,
            frames=(
                Frames(self.config.past, self.config.future, self.config.size)
                if isinstance(self.config, PredictionHyperparameters)
                else None
            ),
        )
        if data.info.sha256 != self.spec.data_sha256:
            raise InputError(
                f"run {self.spec.run_id} was specified on other data of {self.spec.dataset} than "
                f"lies in {data.info.path} ({data.info.state}): point --data at the data it was "
                "specified on"
            )
        return data

    def record(self) -> RunRecord:
        started = time.perf_counter()
        costs.reset_peak_memory(self.spec.device)
        with _deterministic(self.spec.threads):
            mirror = Mirror(self.home, self.spec, study=self.study, task=self.task, log=self.log)
            try:
                journal = Journal(self.home, mirror, self.metric, self.stop, started=started)
                with leaving.gracefully():
                    outcome, pictures = self._attempt(journal)
                record = self._record(outcome, journal.train_seconds, journal.seconds)
            except BaseException:
                mirror.finish({}, {}, failed=True)
                raise
            try:
                mirror.finish(_summary(record), pictures, failed=record.status == "failed")
            finally:
                # Last: a run that is killed meanwhile is made again, and its mirror with it.
                self._keep(record)
        return record

    def _keep(self, record: RunRecord) -> None:
        write_json(self.home / "record.json", record.model_dump(mode="json"))
        Checkpoints(self.home).clear()

    def failed(self, reason: str, traceback: str | None) -> RunRecord:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "metrics.jsonl").unlink(missing_ok=True)
        step = Checkpoints(self.home).step()
        outcome = _Outcome("failed", {}, {}, [], [], None, reason, traceback, step)
        record = self._record(outcome, 0.0, 0.0)
        mirror = Mirror(self.home, self.spec, study=self.study, task=self.task, log=self.log)
        mirror.finish(_summary(record), {}, failed=True)
        self._keep(record)
        return record

    def _attempt(self, journal: Journal) -> tuple[_Outcome, dict[str, Path]]:
        try:
            return self._train(journal)
        except (InputError, OSError):
            raise
        except Exception as error:
            return _Outcome(
                "failed",
                {},
                {},
                journal.history,
                journal.scores(),
                reason=_reason(error),
                traceback=traceback.format_exc(),
                step=journal.step,
            ), {}

    def _train(self, journal: Journal) -> tuple[_Outcome, dict[str, Path]]:
        torch.manual_seed(derive(self.spec.seed, init=0))
        base = self._trained_base()
        model = _model(self.spec, self.data.shape, base)
        # Before the optimiser is made, which holds the parameters where they are.
        model.to(self.spec.device)
        task = self._task(model)
        trainer = self._trainer(task, journal)
        floors = self._floors(trainer, model) if self.spec.role == "final" else {}
        if model.trainable:
            self._fit(trainer, task, journal)
            metrics = dict(journal.history[-1]["metrics"])
        else:
            task.fit_model()
            metrics = self._validate(trainer, task)
        pictures: dict[str, Path] = {}
        if self.spec.role == "final":
            task.use_all_training_samples()
            trainer.test(task, verbose=False)
            metrics |= {f"test/{k}": v for k, v in task.compute().items()}
            require_finite(metrics, "the test")
            with torch.inference_mode():
                pictures = save_pictures(self.home, task.eval().pictures())
        return _Outcome(
            "pruned" if journal.stopped else "complete",
            metrics,
            floors,
            journal.history,
            journal.scores() if model.trainable else scores_of([metrics], self.metric),
            weights_sha256=self._save_weights(model),
        ), pictures

    def _task(self, model: Variant) -> tasks.Task[Any]:
        return tasks.of(self.task, self.spec.dataset)(model, self.data, seed=self.spec.seed)

    def _floors(self, trainer: pl.Trainer, model: Variant) -> dict[str, dict[str, float]]:
        """Scores trivial answers and the untrained network on test data.

        The task that scores them is not the one that trains: what it keeps between batches, such
        as fitted probes, would otherwise reach a training that goes on in the middle of an epoch.

        Returns:
            By floor, its finite metrics (an untrained network may have others), without those that
            have no meaning for the variant.
        """
        task = self._task(model)
        floors = task.floors()
        if model.trainable:
            task.use_all_training_samples()
            trainer.test(task, verbose=False)
            floors["untrained"] = task.compute()
        return {
            name: {k: v for k, v in scores.items() if k not in self.absent and math.isfinite(v)}
            for name, scores in floors.items()
        }

    def _validate(self, trainer: pl.Trainer, task: tasks.Task[Any]) -> dict[str, float]:
        """Scores a variant that is not trained by gradients on validation data, if there is any."""
        if self.data.validation is None:
            return {}
        trainer.validate(task, verbose=False)
        validation = task.evaluation_losses() | task.compute()
        return {f"validation/{name}": value for name, value in validation.items()}

    def _trained_base(self) -> Variant | None:
        """The model that this one rests on, frozen, with the weights that its record knows."""
        spec = self.spec.base
        if spec is None:
            return None
        record = read_record(self.home.parents[1], spec.run_id)
        path = self.home.parent / spec.run_id / "weights.safetensors"
        if record is None or not path.exists() or sha256_of(path) != record.weights_sha256:
            raise InputError(
                f"{path} is not what its record says: remove that run's folder to make it again"
            )
        model = _model(spec, self.data.shape)
        model.load_state_dict(load_file(path))
        return model.requires_grad_(False).eval()

    def _trainer(self, task: tasks.Task[Any], journal: Journal) -> pl.Trainer:
        return pl.Trainer(
            accelerator="cpu" if self.spec.device == "cpu" else "gpu",
            devices=1,
            precision=self.spec.precision,
            max_epochs=self.spec.budget.epochs,
            deterministic=self.spec.deterministic,
            detect_anomaly=self.debug,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=any(
                isinstance(c, pl.callbacks.ProgressBar) for c in self.callbacks
            ),
            enable_model_summary=False,
            callbacks=[journal, *self.callbacks],
            plugins=[journal.checkpoints],
            profiler=_Unprofiled(),
        )

    def _fit(self, trainer: pl.Trainer, task: tasks.Task[Any], journal: Journal) -> None:
        try:
            trainer.fit(task, ckpt_path=journal.checkpoints.newest(), weights_only=True)
        except SystemExit:
            # Lightning's answer to Ctrl-C.
            raise KeyboardInterrupt from None

    def _save_weights(self, model: torch.nn.Module) -> str | None:
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        if not state:
            return None
        content = save(state)
        write_atomically(self.home / "weights.safetensors", content)
        return hashlib.sha256(content).hexdigest()

    def _record(self, outcome: _Outcome, train_seconds: float, seconds: float) -> RunRecord:
        size = self.config.batch_size
        # A last batch that is not full is left out, unless it is the only one.
        epoch = min(len(self.data.train), max(1, len(self.data.train) // size) * size)
        seen = epoch * len(outcome.history)
        decided: dict[str, Any] = {
            "spec": self.spec.model_dump(mode="json"),
            "status": outcome.status,
            "reason": outcome.reason,
            "epochs": len(outcome.history),
            "metric": self.metric,
            "directions": self.directions,
            "absent": self.absent,
            "metrics": outcome.metrics,
            "floors": outcome.floors,
            "samples": self.data.counts.model_dump(mode="json"),
            "history": outcome.scores,
            "weights_sha256": outcome.weights_sha256,
        }
        if outcome.step is not None:
            decided["step"] = outcome.step
        return RunRecord(
            run_id=self.spec.run_id,
            study=self.study,
            traceback=outcome.traceback,
            digest=fingerprint([decided, outcome.history]),
            costs={
                **self._counts(),
                "seconds": seconds,
                "train_seconds": train_seconds,
                "samples_per_second": seen / train_seconds if train_seconds else None,
                "peak_memory_bytes": costs.peak_memory_bytes(self.spec.device),
            },
            provenance={**provenance(), "data": self.data.info.model_dump(mode="json")},
            **decided,
        )

    def _counts(self) -> Mapping[str, int | None]:
        try:
            return costs.counts(partial(_model, self.spec, self.data.shape), self.data.shape)
        except Exception:
            # The run has failed for the same cause, and its record says so.
            return {"parameters": None, "flops_per_sample": None}


class _Unprofiled(PassThroughProfiler):
    """Lightning asks for a context some fifty times a step: always the same one."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return _NOTHING


_NOTHING = nullcontext()


def _model(spec: RunSpec, shape: Shape, base: Variant | None = None) -> Variant:
    """A spec's model, untrained; on `base`, or where it needs one, on an untrained one."""
    if base is None and spec.base is not None:
        base = _model(spec.base, shape).requires_grad_(False).eval()
    config = registry.variant(spec.variant).Config.model_validate(spec.hyperparameters)
    return registry.build(spec.variant, shape=shape, config=config, base=base)


def _summary(record: RunRecord) -> dict[str, Any]:
    """What a mirror shows of a record."""
    return {"status": record.status, "reason": record.reason, **record.metrics}


def _reason(error: Exception) -> str:
    """One line, the same wherever the same goes wrong."""
    message = str(error).strip() or "no message"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate" in message:
        # The message counts bytes that were free, and names processes.
        return "OutOfMemory: the memory does not suffice for this run"
    return f"{type(error).__name__}: {message.splitlines()[0]}"


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    """The process-wide settings under which equal specs give equal bits."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    # Float32 is float32: on a GPU, convolutions would otherwise round factors to TF32's 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    gc.freeze()  # so that the collection at the end looks at what the run made, and at no more
    torch.set_num_threads(threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # Nothing here reads memory before it is written; filling it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            # Advice on data loaders with worker processes, which these batches don't need.
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
            yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.allow_tf32 = tf32
        gc.collect()
