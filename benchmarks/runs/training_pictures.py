"""Draws pictures while a run trains, into `pictures/` in the run's folder and into its views."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import pytorch_lightning as pl
import torch

from benchmarks.records.errors import InputError
from benchmarks.runs.journal import Journal
from benchmarks.runs.picture_files import save_pictures
from benchmarks.tasks import Task
from benchmarks.tasks.pictures import draw_samples

FOLDER = "pictures"


class PictureChoice(NamedTuple):
    """Says when pictures are drawn while a run trains, and which samples they show."""

    every_epochs: int | None = None
    """Epochs between pictures; None: only after the last epoch, which always has pictures, or after
    the fit of a variant that is not trained by gradients."""
    every_steps: int | None = None
    """Training steps between pictures; None: only after epochs."""
    samples: Sequence[int] | None = None
    """Positions among the validation samples, or among the training samples of a run without
    validation; None: the first ones."""


class TrainingPictures(pl.Callback):
    """Draws validation samples, as a model in training sees them; this changes no number.

    A variant that is not trained by gradients has no epochs: its pictures are drawn once, after its
    validation. An error in drawing ends the pictures, and the run goes on without them.

    Args:
        choice: when pictures are drawn, and which samples they show.
    """

    def __init__(self, choice: PictureChoice) -> None:
        self._choice = choice
        self._ended = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._require_samples(pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._require_samples(pl_module)

    def _require_samples(self, pl_module: pl.LightningModule) -> None:
        """Checks the chosen samples. Raises InputError if there are fewer samples."""
        assert isinstance(pl_module, Task)
        part, samples = _samples(pl_module)
        for index in self._choice.samples or ():
            if not 0 <= index < len(samples):
                raise InputError(
                    f"--show {index}: the run has {len(samples)} {part} samples: give positions "
                    f"from 0 to {len(samples) - 1}"
                )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        step, every = trainer.global_step, self._choice.every_steps
        if every is not None and step % every == 0:
            self._draw(trainer, pl_module, f"step-{step:06}-", f"step {step}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch, every = trainer.current_epoch + 1, self._choice.every_epochs
        last = epoch == trainer.max_epochs or trainer.should_stop
        if last or (every is not None and epoch % every == 0):
            self._draw(trainer, pl_module, f"epoch-{epoch:04}-", f"epoch {epoch}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._draw(trainer, pl_module, "fitted-", "fitted")

    def _draw(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, prefix: str, when: str
    ) -> None:
        assert isinstance(pl_module, Task)
        if self._ended:
            return
        try:
            self._save(trainer, pl_module, prefix, when)
        except Exception as error:
            self._ended = True
            print(
                f"capsbench: no more pictures are drawn ({type(error).__name__}: {error}); the run "
                "does not need them",
                file=sys.stderr,
            )

    def _save(self, trainer: pl.Trainer, task: Task[Any], prefix: str, when: str) -> None:
        journal = next(c for c in cast(Any, trainer).callbacks if isinstance(c, Journal))
        part, samples = _samples(task)
        index = self._choice.samples or range(min(task.shown, len(samples)))
        named = ", ".join(map(str, index))
        devices = [task.device] if task.device.type == "cuda" else []
        # A validation that draws random numbers must not depend on pictures.
        with torch.random.fork_rng(devices=devices), task.as_in_evaluation():
            pictures = draw_samples(task.model, task.samples_of(samples, index))
            if not pictures:
                self._say_there_are_none(journal.path.parent.name)
                return
            folder = journal.path.parent / FOLDER
            folder.mkdir(exist_ok=True)
            title = f"{when}, {part} samples {named}\n{journal.path.parent.name}"
            paths = save_pictures(folder, pictures, title=title, prefix=prefix)
        journal.show_pictures(trainer.global_step, paths)

    def _say_there_are_none(self, run_id: str) -> None:
        """Ends the pictures of a variant that draws none; says so if the user asked for some."""
        self._ended = True
        if any(wish is not None for wish in self._choice):
            print(
                f"capsbench: {run_id} has no pictures, since its variant draws none: "
                "--pictures-every and --show have no effect",
                file=sys.stderr,
            )


def _samples(task: Task[Any]) -> tuple[str, Any]:
    """Returns the name of the part whose samples are drawn, and its samples."""
    validation = task.data.validation
    return ("training", task.data.train) if validation is None else ("validation", validation)
