"""Writes what a run stores while it trains: `metrics.jsonl`, checkpoints and its W&B view."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks import interrupts
from benchmarks.records.atomic_files import append_durably, write_atomically
from benchmarks.records.folders import METRICS
from benchmarks.records.spec import Stop
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.run_views import Views
from benchmarks.tasks import Task

CHECKPOINT_SECONDS = 10.0
"""Seconds between checkpoints. They do not change the numbers, only how much work is repeated."""

CHECKPOINT_SHARE = 0.03
"""Largest share of a run's time that checkpoints may take: large ones are written less often."""

STEPS_BETWEEN_CHECKS = 25
"""Steps between two checks of the loss on a GPU. A failed run's record depends on the number."""


class NonFinite(ArithmeticError):
    """Reports a loss or metric that is NaN or infinite; the run fails."""


def require_finite(metrics: Mapping[str, float], when: str) -> None:
    """Checks that metrics are finite.

    Args:
        metrics: the metrics by name.
        when: names the moment in the message, such as `epoch 3 (step 120)`.

    Raises:
        NonFinite: if a metric is NaN or infinite; the message names the first one.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise NonFinite(f"{name} was {value} in {when}")


class Journal(pl.Callback):
    """Writes the metrics of each epoch to `metrics.jsonl` and to the W&B view, and checkpoints.

    After the training, `history` holds the lines of `metrics.jsonl`, and `stopped` says whether
    `stop` ended the training. After an exception, `step` is the number of finished steps. `seconds`
    and `train_seconds` sum over all processes that trained the run; the time of an interrupted
    process counts up to its last checkpoint.

    Args:
        folder: the folder of the run. An old `metrics.jsonl` is deleted; the checkpoint contains
            its lines.
        view: shows the run in Weights & Biases and TensorBoard.
        primary: the name of the primary metric.
        stop: decides after each epoch whether the training ends; None: it never does.
        started: when this process began the run, by `time.perf_counter`.
    """

    def __init__(
        self, folder: Path, view: Views, primary: str, stop: Stop | None, *, started: float
    ) -> None:
        self.path = folder / METRICS
        self.path.unlink(missing_ok=True)  # the checkpoint contains the lines to keep
        self.checkpoints = Checkpoints(folder)
        self.score_epoch: Callable[[], Mapping[str, float]] = dict
        """Returns further metrics of an epoch that ended, by name."""
        self.history: list[dict[str, Any]] = []
        self.stopped = False
        self.train_seconds = 0.0
        self.step = 0
        self._begun = started
        self._earlier = 0.0
        self._view = view
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
        """Returns the seconds that the run has taken so far."""
        return self._earlier + time.perf_counter() - self._begun

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.write_history()

    def write_history(self) -> None:
        """Writes the lines of `history` to `metrics.jsonl` and to the W&B view."""
        lines = "".join(json.dumps(line) + "\n" for line in self.history)
        write_atomically(self.path, lines.encode())
        for line in self.history:
            self._show(line)

    def _show(self, line: Mapping[str, Any]) -> None:
        """Shows a line of `metrics.jsonl` in the view; lines of older versions have no rate."""
        rate = {"lr": line["learning_rate"]} if "learning_rate" in line else {}
        self._view.epoch(line["epoch"], line["step"], {**line["metrics"], **rate})

    def show_pictures(self, step: int, pictures: Mapping[str, Path]) -> None:
        """Shows pictures (PNG files by name) that were drawn after a step in the run's views."""
        self._view.pictures(step, pictures)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        interrupts.take_back_sigterm()
        self._started = time.perf_counter()  # a resumed epoch calls no on_train_epoch_start

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
        # Reading a loss waits for the GPU to compute it, so on a GPU few losses are checked.
        checked = step % STEPS_BETWEEN_CHECKS == 0 or not loss.is_cuda
        if checked and not math.isfinite(loss):
            epoch = trainer.current_epoch + 1
            raise NonFinite(f"the loss was {float(loss)} in epoch {epoch} (step {step})")
        if self._view.wants_step(step):
            self._view.step(step, {"loss": float(loss), "lr": _learning_rate(trainer)})
        # After the last step of an epoch, Lightning cannot resume between training and validation.
        if batch_idx + 1 < trainer.num_training_batches:
            self._checkpoint(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._lap()

    def on_test_batch_start(self, *_: Any) -> None:
        interrupts.raise_if_requested()

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
        metrics |= self.score_epoch()
        epoch = trainer.current_epoch + 1
        require_finite(metrics, f"epoch {epoch} (step {trainer.global_step})")
        line = {
            "epoch": epoch,
            "step": trainer.global_step,
            "learning_rate": _learning_rate(trainer),
            "metrics": metrics,
        }
        self.history.append(line)
        append_durably(self.path, json.dumps(line))
        self._show(line)
        last = epoch == trainer.max_epochs
        if not last and self._stop is not None and self._stop(self.scores()):
            self.stopped = trainer.should_stop = True
        elif not last:
            self._started = time.perf_counter()
            self._checkpoint(trainer)

    def _checkpoint(self, trainer: pl.Trainer) -> None:
        """Writes a checkpoint if one is due; if a stop was requested, writes one and stops."""
        begun = time.monotonic()
        if interrupts.stop_requested() or begun >= self._due:
            self._lap()
            trainer.save_checkpoint(self.checkpoints.last)
            interrupts.raise_if_requested()
            self._started = time.perf_counter()
            ended = time.monotonic()
            self._due = ended + max(CHECKPOINT_SECONDS, (ended - begun) / CHECKPOINT_SHARE)

    def scores(self) -> list[float]:
        """Lists the primary validation metric after each epoch; empty without validation data."""
        return self.scores_of([line["metrics"] for line in self.history])

    def scores_of(self, metrics: Sequence[Mapping[str, float]]) -> list[float]:
        """Lists the primary validation metric of each epoch.

        Args:
            metrics: for each epoch, its metrics by name, such as `validation/accuracy`.

        Returns:
            One value per epoch; empty without validation data.
        """
        name = f"validation/{self._primary}"
        return [epoch[name] for epoch in metrics if name in epoch]


def _learning_rate(trainer: pl.Trainer) -> float:
    """Returns the rate of the next step; of several groups of parameters, that of the first."""
    return float(trainer.optimizers[0].param_groups[0]["lr"])
