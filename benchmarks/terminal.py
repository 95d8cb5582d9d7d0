"""What a single run shows while it trains: its layers, then a bar, or lines where none can be."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichModelSummary, RichProgressBar
from rich.console import Console
from rich.table import Table

from benchmarks.cli import duration
from benchmarks.spec import Stop


class Layers(RichModelSummary):
    """Lightning's table: of the model alone, and without FLOPs, which are not counted there."""

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


def callbacks(console: Console) -> list[pl.Callback]:
    """The layers; and a progress bar, where there is a terminal."""
    bar = [RichProgressBar()] if console.is_terminal else []
    return [Layers(max_depth=2), *bar]


def lines(console: Console, metric: str, epochs: int) -> Stop | None:
    """Tells each epoch but the last, whose metrics the end tells, and stops none.

    None where there is a terminal, whose bar tells more.
    """
    if console.is_terminal:
        return None
    began, made = time.monotonic(), 0

    def tell(scores: list[float]) -> bool:
        nonlocal made
        made += 1
        left = (epochs - len(scores)) * (time.monotonic() - began) / made
        console.print(
            f"epoch {len(scores)} of {epochs}: validation/{metric} {scores[-1]:.4g}, "
            f"some {duration(left)} left",
            soft_wrap=True,
        )
        return False

    return tell
