"""Shows a run in Weights & Biases and, if the user wants, in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks.records.folders import RunFolder
from benchmarks.records.spec import RunSpec
from benchmarks.runs.tensorboard_view import TensorBoardView
from benchmarks.runs.wandb_view import WandbView
from benchmarks.wandb_options import WandbOptions
from models import registry


class View(Protocol):
    """Defines the interface of a view of one run. No figure is taken from a view."""

    def epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of an epoch, after its last step."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of a training step."""

    def pictures(self, step: int, pictures: Mapping[str, Path]) -> None:
        """Shows pictures (PNG files by name) that were drawn after a training step."""

    def finish(
        self, summary: Mapping[str, Any], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Shows the last pictures and the summary, and ends the view."""


class Views:
    """Shows a run in Weights & Biases and, if the options ask for it, in TensorBoard.

    Args:
        folder: the folder of the run.
        spec: the spec of the run.
        study: the name of the study that the run belongs to, if any.
        log: the options, which also say at which steps and epochs metrics are shown.
    """

    def __init__(
        self, folder: RunFolder, spec: RunSpec, *, study: str | None, log: WandbOptions
    ) -> None:
        task = registry.available()[spec.variant].task
        self._log, self._last = log, spec.budget.epochs
        self._views: list[View] = [WandbView(folder.path, spec, study=study, task=task, log=log)]
        if log.tensorboard:
            self._views.append(TensorBoardView(folder.path, spec.run_id))

    def epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of an epoch, if the user wants to see this one.

        Args:
            epoch: the number of the epoch, from 1.
            step: the number of the epoch's last step in the run.
            metrics: the metrics by name.
        """
        if epoch % self._log.every == 0 or epoch == self._last:
            for view in self._views:
                view.epoch(epoch, step, metrics)

    def wants_step(self, step: int) -> bool:
        """Returns whether a training step is shown.

        Args:
            step: the number of the step in the run, from 1.
        """
        return step % self._log.every_steps == 0

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of a training step."""
        for view in self._views:
            view.step(step, metrics)

    def pictures(self, step: int, pictures: Mapping[str, Path]) -> None:
        """Shows pictures that were drawn while the run trains.

        Args:
            step: the number of finished steps.
            pictures: PNG files by name.
        """
        for view in self._views:
            view.pictures(step, pictures)

    def finish(
        self, summary: Mapping[str, Any], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Ends the views.

        Args:
            summary: status, reason and last metrics by name.
            pictures: the pictures of a final, PNG files by name.
            failed: whether the run failed.
        """
        for view in self._views:
            view.finish(summary, pictures, failed=failed)
