"""Draws the learning curves of one run into `curves.png` in the run's folder."""

from __future__ import annotations

import math
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.records.atomic_files import write_atomically
from benchmarks.records.folders import METRICS, parse_lines
from benchmarks.records.spec import RunSpec

FILE_NAME = "curves.png"
PARTS = {"train": "tab:blue", "validation": "tab:red", "test": "tab:green"}
COLUMNS = 3
SUFFIX = "_prior"
"""Ends the name of a prior's metric: its curve is dashed, in the panel of the code's metric."""


def draw_run_curves(home: Path, title: str) -> Path | None:
    """Writes `curves.png` into the folder of a run, from its `metrics.jsonl`.

    Args:
        home: the folder of the run.
        title: the title of the figure.

    Returns:
        The path of `curves.png`; None if no epoch has ended, and then nothing is written.

    Raises:
        OSError: if the file cannot be written.
    """
    path = home / METRICS
    lines = parse_lines(path.read_bytes()) if path.exists() else []
    if not lines:
        return None
    drawn = BytesIO()
    curves_figure(lines, title).savefig(drawn, format="png", dpi=120)
    write_atomically(home / FILE_NAME, drawn.getvalue())
    return home / FILE_NAME


def title_of(spec: RunSpec) -> str:
    """Writes the title of the learning curves of a run."""
    return f"{spec.variant} on {spec.dataset}, seed {spec.seed}"


def curves_figure(lines: list[dict[str, Any]], title: str) -> Figure:
    """Draws one panel per metric, over the training steps below and the epochs above.

    Loss terms are left out, because there are many of them.

    Args:
        lines: the lines of a `metrics.jsonl`, at least one.
        title: the title of the figure.

    Returns:
        The figure.
    """
    steps = [line["step"] for line in lines]
    curves = {
        (part, metric): [line["metrics"][f"{part}/{metric}"] for line in lines]
        for part, metric in (name.split("/", 1) for name in lines[0]["metrics"])
        if "/" not in metric
    }
    panels = list(dict.fromkeys(metric.removesuffix(SUFFIX) for _, metric in curves))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    drawn = Figure(figsize=(3.4 * columns, 2.5 * rows), layout="constrained")
    axes = dict(zip(panels, drawn.subplots(rows, columns, squeeze=False).flat, strict=False))
    for (part, metric), values in curves.items():
        prior = metric.endswith(SUFFIX)
        axes[metric.removesuffix(SUFFIX)].plot(
            steps,
            values,
            ".--" if prior else ".-",
            color=PARTS[part],
            label=f"{part}, prior" if prior else part,
        )
    for panel, ax in axes.items():
        _label(ax, panel, steps_per_epoch=steps[-1] / lines[-1]["epoch"])
    for ax in drawn.axes[len(panels) :]:
        ax.remove()
    drawn.suptitle(title)
    return drawn


def _label(ax: Axes, panel: str, *, steps_per_epoch: float) -> None:
    ax.set_title(panel.replace("_", " "), fontsize="medium")
    ax.set_xlabel("steps")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.ticklabel_format(axis="y", useOffset=False)  # the offset would cover the epochs
    scale = max(1.0, steps_per_epoch)  # a run without steps has epochs alone
    epochs = ax.secondary_xaxis(
        "top", functions=(partial(_divided, by=scale), partial(_divided, by=1 / scale))
    )
    epochs.set_xlabel("epochs", fontsize="small")
    epochs.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    epochs.tick_params(labelsize="small")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")


def _divided(x: Any, *, by: float) -> Any:
    return np.asarray(x, float) / by
