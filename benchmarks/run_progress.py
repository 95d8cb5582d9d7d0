"""Shows the progress of a single run: its layers, then a progress bar or one line per epoch."""

from __future__ import annotations

import time
from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichModelSummary, RichProgressBar
from rich.console import Console
from rich.table import Table

from benchmarks.cli import duration
from benchmarks.runs.journal import Journal


class Layers(RichModelSummary):
    """Prints the name, type and number of parameters of each layer of the model."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]], total_parameters: int, *_: Any, **__: Any
    ) -> None:
        columns = dict(summary_data)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for heading in ("Name", "Type", "Params"):
            table.add_column(heading, justify="right" if heading == "Params" else "left")
        for row in zip(columns["Name"], columns["Type"], columns["Params"], strict=True):
            if row[0].startswith("model"):
                table.add_row(*row)
        Console().print(table)


class EpochLines(pl.Callback):
    """Prints one line at the end of each epoch, except the last, after which results are printed.

    Args:
        console: where to print.
        metric: the validation metric to print. Without validation data, the training loss is
            printed instead.
    """

    def __init__(self, console: Console, metric: str) -> None:
        self._console, self._metric = console, metric
        self._began, self._made = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        journal = next(c for c in cast(Any, trainer).callbacks if isinstance(c, Journal))
        epoch, metrics = journal.history[-1]["epoch"], journal.history[-1]["metrics"]
        self._made += 1
        if epoch == trainer.max_epochs:
            return
        left = (trainer.max_epochs - epoch) * (time.monotonic() - self._began) / self._made
        shown = f"validation/{self._metric}"
        name = shown if shown in metrics else "train/loss"
        self._console.print(
            f"epoch {epoch} of {trainer.max_epochs}: {name} {metrics[name]:.4g}, "
            f"about {duration(left)} left",
            soft_wrap=True,
        )


def callbacks(console: Console, metric: str) -> list[pl.Callback]:
    """Builds the callbacks that print a run's layers and its progress.

    Args:
        console: on a terminal progress is a bar, otherwise one line per epoch.
        metric: the validation metric of these lines.

    Returns:
        The callbacks, for a trainer.
    """
    progress = RichProgressBar() if console.is_terminal else EpochLines(console, metric)
    return [Layers(max_depth=2), progress]
