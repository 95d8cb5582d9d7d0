"""Shows a single run while it trains: what is trained on what, one line per epoch, a live bar."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import Any, cast

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from benchmarks.commands.cli import duration
from benchmarks.commands.layer_table import layer_table
from benchmarks.records.spec import Direction
from benchmarks.runs.journal import Journal
from benchmarks.speed.pace import Pace
from benchmarks.tasks import Task
from models.variant import Variant

REFRESH_SECONDS = 0.2
"""Seconds between two updates of the live bar: on a GPU, each update waits for the loss."""

BAR_WIDTH = 12
SMALLEST_BAR = 4


class Opening(pl.Callback):
    """Prints the model, the device, the data and the layers, once per model, before its first use.

    Args:
        console: where to print.
        devices: number of devices that train the run.
    """

    def __init__(self, console: Console, devices: int) -> None:
        self._console, self._devices = console, devices
        self._model: weakref.ref[Variant] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, Task)
        model, data = pl_module.model, pl_module.data
        if self._model is not None and self._model() is model:
            return
        self._model = weakref.ref(model)
        parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        counts, threads, epochs = data.counts, torch.get_num_threads(), trainer.max_epochs or 1
        lines = {
            "model": f"{type(model).__name__}, {parameters:,} trained parameters",
            "device": f"{_device(pl_module.device, self._devices)}, "
            f"{threads} CPU thread{'s' * (threads > 1)}{' each' * (self._devices > 1)}, "
            f"{trainer.precision}",
            "data": f"{data.info.dataset} ({data.info.state}), {counts.train:,} training and "
            f"{counts.validation:,} validation samples",
            "budget": f"{epochs} epoch{'s' * (epochs > 1)}, batches of {model.config.batch_size}",
        }
        for name, text in lines.items():
            self._console.print(f"{name:<7} {text}", soft_wrap=True, highlight=False)
        try:
            self._console.print(layer_table(model))
        except Exception as error:  # what is shown must not end a run
            self._console.print(f"layers are not shown ({type(error).__name__}: {error})")


class EpochLines(pl.Callback):
    """Prints one line per epoch; on a terminal, a bar below the lines shows the current epoch.

    A line has the losses and the primary metric, and marks an epoch that is better than all before
    it. Without the bar it also has the time left.

    Args:
        console: where to print.
        metric: the name of the primary metric.
        direction: which way the primary metric is better.
    """

    def __init__(self, console: Console, metric: str, direction: Direction) -> None:
        self._console, self._metric = console, metric
        self._better = max if direction == "maximize" else min
        self._pace = Pace()
        self._bar = LiveBar(console) if console.is_terminal else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        journal = _journal(trainer)
        for line in journal.history:
            self._print_epoch(trainer, journal, line, left=None)
        if trainer.global_step:
            self._console.print(f"resumed at step {trainer.global_step}", highlight=False)
        self._pace.begin()
        if self._bar is not None:
            epoch = min(trainer.current_epoch + 1, trainer.max_epochs or 1)
            steps = int(trainer.num_training_batches)
            self._bar.show(_epoch(epoch, trainer.max_epochs or 1), 0, steps, [])
            self._bar.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pace.begin()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._pace.step()
        if self._bar is None or not self._bar.due():
            return
        assert isinstance(pl_module, Task)
        steps, epochs = trainer.num_training_batches, trainer.max_epochs or 1
        # Fields of constant width: otherwise the bar's width would change with every number.
        texts = [f"loss {float(outputs['loss']):<7.3g}"]
        running = pl_module.running_mean(self._metric)
        if running is not None:
            texts.append(f"{self._metric} {running:<6.3g}")
        rate = self._pace.steps_per_second
        if rate is not None:
            texts.append(f"{duration(self._left(trainer, batch_idx + 1) or 0)} left")
            samples = len(batch[0]) * trainer.world_size
            texts.append(f"{_rounded(rate * samples):>5} samples/s")
        self._bar.show(_epoch(trainer.current_epoch + 1, epochs), batch_idx + 1, steps, texts)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pace.begin()
        if self._bar is not None and trainer.state.fn == "fit":
            steps, epochs = int(trainer.num_training_batches), trainer.max_epochs or 1
            name = _epoch(trainer.current_epoch + 1, epochs)
            self._bar.show(name, steps, steps, ["validation"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._pace.validated()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        journal = _journal(trainer)
        steps = int(trainer.num_training_batches)
        self._print_epoch(trainer, journal, journal.history[-1], left=self._left(trainer, steps))
        if journal.history[-1]["epoch"] == trainer.max_epochs:
            self._stop()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        self._stop()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        what = "the model"
        if pl_module.model.trainable:
            what = "the trained model" if _journal(trainer).history else "the untrained model"
        self._console.print(f"scoring {what} on test data", highlight=False)

    def _left(self, trainer: pl.Trainer, done: int) -> float | None:
        """Estimates the seconds left, after a number of finished steps of the current epoch."""
        steps, epochs = int(trainer.num_training_batches), trainer.max_epochs or 1
        later = epochs - trainer.current_epoch - 1
        return self._pace.left(later * steps + steps - done, later + (done < steps))

    def _print_epoch(
        self, trainer: pl.Trainer, journal: Journal, line: Mapping[str, Any], left: float | None
    ) -> None:
        epoch, metrics, last = line["epoch"], line["metrics"], trainer.max_epochs or 1
        texts = [_epoch(epoch, last), f"loss {metrics['train/loss']:.4g}"]
        if "validation/loss" in metrics:
            texts.append(f"validation loss {metrics['validation/loss']:.4g}")
        score = metrics.get(f"validation/{self._metric}")
        if score is not None:
            scores = journal.scores()[:epoch]
            mark = " (best)" if scores.index(self._better(scores)) == epoch - 1 else ""
            texts.append(f"{self._metric} {score:.4g}{mark}")
        if left is not None and epoch != last and self._bar is None:  # the bar has it
            texts.append(f"{duration(left)} left")
        self._console.print("  ".join(texts), soft_wrap=True, highlight=False)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


class LiveBar:
    """Shows the current epoch as a bar with some texts, in the last line of a terminal.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[count]}  {task.fields[texts]}"),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self._row = self._progress.add_task("", total=1, count="", texts="")
        self._due = 0.0
        self._console = console

    def start(self) -> None:
        """Shows the bar."""
        self._progress.start()

    def due(self) -> bool:
        """Returns whether the bar is to be updated again."""
        return time.monotonic() >= self._due

    def show(self, name: str, done: int, total: int | float, texts: list[str]) -> None:
        """Updates the bar.

        Args:
            name: the text before the bar.
            done: number of finished steps.
            total: number of all steps.
            texts: the texts after the bar; where the terminal is narrow, the last are left out.
        """
        self._due = time.monotonic() + REFRESH_SECONDS
        count = f"{done:>{len(str(total))}}/{total}"
        taken = len(f"{name} {'━' * SMALLEST_BAR} {count}")
        while texts and taken + sum(2 + len(text) for text in texts) > self._console.width:
            texts = texts[:-1]
        self._progress.update(
            self._row,
            description=name,
            completed=done,
            total=total,
            count=count,
            texts="  ".join(texts),
        )
        self._progress.refresh()

    def stop(self) -> None:
        """Removes the bar."""
        self._progress.stop()


def callbacks(
    console: Console, metric: str, direction: Direction, *, devices: int = 1
) -> list[pl.Callback]:
    """Builds the callbacks that print what a run trains and its progress.

    Args:
        console: on a terminal, a live bar is shown too.
        metric: the name of the primary metric.
        direction: which way the primary metric is better.
        devices: number of devices that train the run.

    Returns:
        The callbacks, for a trainer.
    """
    return [Opening(console, devices), EpochLines(console, metric, direction)]


def _journal(trainer: pl.Trainer) -> Journal:
    return next(c for c in cast(Any, trainer).callbacks if isinstance(c, Journal))


def _epoch(number: int, last: int) -> str:
    """Formats the number of an epoch, as wide as that of the last one."""
    return f"epoch {number:>{len(str(last))}}/{last}"


def _device(device: torch.device, count: int) -> str:
    if device.type == "cuda":
        return f"{count} × " * (count > 1) + torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS, untested)"
    return "CPU" if count == 1 else f"CPU, {count} processes"


def _rounded(number: float) -> str:
    """Formats a rate with three digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
