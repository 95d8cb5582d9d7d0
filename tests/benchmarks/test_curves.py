"""Tests the figure of a run's learning curves."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from benchmarks.curves import curves_figure, draw_run_curves

NAMES = (
    "train/loss",
    "train/loss/image",
    "validation/loss",
    "validation/lin_pred",
    "validation/lin_pred_prior",
    "validation/mse",
    "validation/nll",
)
LINES = [
    {"epoch": e, "step": 10 * e, "metrics": {name: e + len(name) for name in NAMES}}
    for e in (1, 2, 3)
]


def test_a_panel_a_metric_over_steps() -> None:
    axes = {ax.get_title(): ax.lines for ax in curves_figure(LINES, "pcae").axes}
    assert list(axes) == ["loss", "lin pred", "mse", "nll"], "no panel of a loss term, none empty"
    train, validation = axes["loss"]
    assert (train.get_label(), validation.get_label()) == ("train", "validation")
    assert train.get_color() != validation.get_color()
    assert np.asarray(validation.get_xdata()).tolist() == [10, 20, 30]
    assert np.asarray(validation.get_ydata()).tolist() == [1 + 15, 2 + 15, 3 + 15]
    code, prior = axes["lin pred"]
    assert (code.get_linestyle(), prior.get_linestyle()) == ("-", "--")
    assert np.asarray(prior.get_ydata()).tolist() == [1 + 25, 2 + 25, 3 + 25]


def test_the_horizontal_axis_has_epochs_too() -> None:
    drawn = curves_figure(LINES, "pcae")
    drawn.savefig(BytesIO())
    for ax in drawn.axes:
        (epochs,) = ax.child_axes
        assert epochs.get_xlabel() == "epochs"
        assert epochs.get_xlim() == pytest.approx([x / 10 for x in ax.get_xlim()])


def test_a_run_without_an_epoch_has_none(tmp_path: Path) -> None:
    assert draw_run_curves(tmp_path, "pcae") is None
    (tmp_path / "metrics.jsonl").touch()
    assert draw_run_curves(tmp_path, "pcae") is None
    assert not (tmp_path / "curves.png").exists()
