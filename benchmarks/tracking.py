"""What a run leaves as it goes: `metrics.jsonl`, checkpoints, and the Weights & Biases mirror.

Files are the truth; Weights & Biases is a view of them. A run that was killed begins its mirror
anew from `metrics.jsonl`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl

from benchmarks import leaving
from benchmarks.checkpoints import Checkpoints
from benchmarks.files import append_durably, token_of, write_atomically
from benchmarks.logs import Logging
from benchmarks.spec import RunSpec, Stop
from benchmarks.tasks import Task
from benchmarks.weights_and_biases import import_wandb

if TYPE_CHECKING:
    import wandb

CHECKPOINT_SECONDS = 10.0
"""Seconds between checkpoints. When they are written decides no number, only what is done again."""

CHECKPOINT_SHARE = 0.03
"""The most that checkpoints may take of a run's time: large ones are written less often."""

STEPS_BETWEEN_LOGS = 25


class NonFinite(ArithmeticError):
    """A loss or metric that is NaN or infinite: the run has failed."""


def require_finite(metrics: dict[str, float], when: str) -> None:
    """Raises NonFinite for the first metric that is NaN or infinite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise NonFinite(f"{name} was {value} in {when}")


class Mirror:
    """Weights & Biases. Offline, nothing is sent, not even a name look-up; switched off, it is not
    even imported.

    Where it fails, that is told once, and the run goes on without it: a mirror decides nothing.
    Equal runs of two results folders have ids of their own there, as both may be sent.
    """

    def __init__(
        self, folder: Path, spec: RunSpec, *, study: str | None, task: str, log: Logging
    ) -> None:
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        self._every, self._last = log.every, spec.budget.epochs
        self._run: wandb.Run | None = None
        with self._harmless(spec.run_id):
            shutil.rmtree(folder / "wandb", ignore_errors=True)
            if log.switched_off is not None:
                return
            self._run = import_wandb().init(
                mode="online" if log.upload else "offline",
                dir=folder,
                id=f"{spec.run_id}-{token_of(folder.parents[1])[:8]}",
                name=log.name_of(spec),
                project=log.project,
                entity=log.team,
                group=study,
                job_type=spec.role,
                tags=[task, spec.variant, spec.dataset, spec.budget.profile],
                config=spec.model_dump(mode="json"),
                reinit="create_new",
                settings=import_wandb().Settings(
                    console="off",
                    silent=True,
                    disable_git=True,
                    disable_code=True,
                    disable_job_creation=True,
                    x_disable_stats=True,
                    x_disable_meta=True,
                    x_disable_machine_info=True,
                    x_save_requirements=False,
                ),
            )
            self._run.define_metric("epoch/*", step_metric="epoch")

    @contextmanager
    def _harmless(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._run = None
            print(
                f"capsbench: the Weights & Biases mirror of {what} ends here "
                f"({type(error).__name__}: {error}); the run and its record do not need it",
                file=sys.stderr,
            )

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        if epoch % self._every == 0 or epoch == self._last:
            self._log({"epoch": epoch} | {f"epoch/{k}": v for k, v in metrics.items()})

    def step(self, metrics: dict[str, float]) -> None:
        self._log({f"step/{k}": v for k, v in metrics.items()})

    def _log(self, values: dict[str, Any]) -> None:
        if self._run is not None:
            with self._harmless(self._run.id):
                self._run.log(values)

    def finish(self, summary: dict[str, Any], pictures: dict[str, Path], *, failed: bool) -> None:
        if self._run is not None:
            with self._harmless(self._run.id):
                if pictures:
                    image = import_wandb().Image
                    shown = {name: image(str(path)) for name, path in pictures.items()}
                    self._run.log(shown)
                self._run.summary.update(summary)
                self._run.finish(exit_code=int(failed))


class Journal(pl.Callback):
    """Ends each epoch: metrics to `metrics.jsonl` and the mirror; and writes checkpoints.

    After `fit`, `history` holds the lines of `metrics.jsonl`, `stopped` whether `stop` said so;
    after an exception, `step` is how many steps the run had behind it. Times are of all the
    processes that made the run, each up to its last checkpoint; `started` is this one's beginning.
    """

    def __init__(
        self, folder: Path, mirror: Mirror, primary: str, stop: Stop | None, *, started: float
    ) -> None:
        self.path = folder / "metrics.jsonl"
        self.path.unlink(missing_ok=True)  # what counts of it is in the checkpoint
        self.checkpoints = Checkpoints(folder)
        self.history: list[dict[str, Any]] = []
        self.stopped = False
        self.train_seconds = 0.0
        self.step = 0
        self._begun = started
        self._earlier = 0.0
        self._mirror = mirror
        self._primary = primary
        self._stop = stop
        self._due = time.monotonic() + CHECKPOINT_SECONDS

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": json.dumps(self.history),
            "train_seconds": self.train_seconds,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = json.loads(state_dict["history"])
        self.train_seconds = state_dict["train_seconds"]
        self._earlier = state_dict["seconds"]

    @property
    def seconds(self) -> float:
        """What the run has taken so far."""
        return self._earlier + time.perf_counter() - self._begun

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_atomically(self.path, lines.encode())
        for line in self.history:
            self._mirror.epoch(line["epoch"], line["metrics"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        leaving.listen()
        self._started = time.perf_counter()  # an epoch that goes on has no start

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        step, loss = trainer.global_step, outputs["loss"]
        logs = step % STEPS_BETWEEN_LOGS == 0
        # Looking at a loss waits for it: on a GPU that costs time, and is done at times.
        if (logs or not loss.is_cuda) and not math.isfinite(loss):
            epoch = trainer.current_epoch + 1
            raise NonFinite(f"the loss was {float(loss)} in epoch {epoch} (step {step})")
        if logs:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self._mirror.step({"loss": float(loss), "lr": float(rate)})
        # After the last step validation is next, which no checkpoint can come before.
        if batch_idx + 1 < trainer.num_training_batches:
            self._checkpoint(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._lap()

    def on_test_batch_start(self, *_: Any) -> None:
        leaving.if_asked()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.step = trainer.global_step

    def _lap(self) -> None:
        now = time.perf_counter()
        self.train_seconds += now - self._started
        self._started = now

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        validation: dict[str, float] = {}
        if pl_module.data.validation is None:
            self._lap()
        else:
            validation = pl_module.evaluation_losses() | pl_module.compute()
        metrics = {f"train/{name}": value for name, value in pl_module.training_means().items()}
        metrics |= {f"validation/{name}": value for name, value in validation.items()}
        epoch = trainer.current_epoch + 1
        require_finite(metrics, f"epoch {epoch} (step {trainer.global_step})")
        line = {"epoch": epoch, "step": trainer.global_step, "metrics": metrics}
        self.history.append(line)
        append_durably(self.path, json.dumps(line))
        self._mirror.epoch(epoch, metrics)
        last = epoch == trainer.max_epochs
        if not last and self._stop is not None and self._stop(self.scores()):
            self.stopped = trainer.should_stop = True
        elif not last:
            self._started = time.perf_counter()
            self._checkpoint(trainer)

    def _checkpoint(self, trainer: pl.Trainer) -> None:
        """Writes a checkpoint if it is time, or if the run shall end here, which it then does."""
        begun = time.monotonic()
        if leaving.asked() or begun >= self._due:
            self._lap()
            trainer.save_checkpoint(self.checkpoints.last)
            leaving.if_asked()
            self._started = time.perf_counter()
            ended = time.monotonic()
            self._due = ended + max(CHECKPOINT_SECONDS, (ended - begun) / CHECKPOINT_SHARE)

    def scores(self) -> list[float]:
        """The primary validation metric after each epoch."""
        return scores_of([line["metrics"] for line in self.history], self._primary)


def scores_of(metrics: Sequence[Mapping[str, float]], primary: str) -> list[float]:
    """Lists the primary validation metric of each epoch.

    Args:
        metrics: the metrics of each epoch, by name with split.
        primary: name of the primary metric, without split.

    Returns:
        One value per epoch; none if there is no validation data.
    """
    name = f"validation/{primary}"
    return [epoch[name] for epoch in metrics if name in epoch]


def save_pictures(folder: Path, pictures: dict[str, np.ndarray]) -> dict[str, Path]:
    """Writes pictures as PNG into a run's folder; enlarged where they are very small."""
    from PIL import Image

    paths = {}
    for name, pixels in pictures.items():
        image = Image.fromarray(pixels)
        factor = max(1, math.floor(600 / image.width))
        paths[name] = folder / f"{name}.png"
        image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(
            paths[name]
        )
    return paths
