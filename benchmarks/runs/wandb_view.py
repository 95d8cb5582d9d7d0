"""Shows a run in Weights & Biases; no figure is taken from this view.

The view of a killed run is rewritten from `metrics.jsonl`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.records.atomic_files import token_of
from benchmarks.records.spec import RunSpec
from benchmarks.runs.view_failures import ends_only_the_view
from benchmarks.wandb_options import WandbOptions
from benchmarks.weights_and_biases import import_wandb

if TYPE_CHECKING:
    import wandb


class WandbView:
    """Shows a run in Weights & Biases, as far as the options ask for it.

    Without `--upload`, nothing is sent. If Weights & Biases is switched off, it is not imported.
    Its run id contains a token of the results folder, because equal runs of two results folders may
    both be uploaded. If Weights & Biases fails, one line on stderr says so, and the run continues
    without the view.

    Args:
        folder: the folder of the run; Weights & Biases writes into its subfolder `wandb/`, which is
            deleted first.
        spec: the spec of the run.
        study: the name of the study that the run belongs to, if any; it is the group of the run.
        task: the name of the variant's task; it is a tag of the run.
        log: the options: project, team, name of the run, and whether it is uploaded.
    """

    def __init__(
        self, folder: Path, spec: RunSpec, *, study: str | None, task: str, log: WandbOptions
    ) -> None:
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        self._run_id = spec.run_id
        self._run: wandb.Run | None = None
        with self._harmless():
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

    def _harmless(self) -> AbstractContextManager[None]:
        return ends_only_the_view("Weights & Biases", self._run_id, self._end)

    def _end(self) -> None:
        self._run = None

    def epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of an epoch."""
        self._log({"epoch": epoch} | {f"epoch/{k}": v for k, v in metrics.items()})

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of a training step."""
        self._log({f"step/{k}": v for k, v in metrics.items()})

    def pictures(self, step: int, pictures: Mapping[str, Path]) -> None:
        """Shows pictures (PNG files by name) that were drawn after a training step."""
        if self._run is not None:
            with self._harmless():
                image = import_wandb().Image
                shown = {f"while training/{k}": image(str(p)) for k, p in pictures.items()}
                self._run.log({"drawn after step": step, **shown})

    def _log(self, values: dict[str, Any]) -> None:
        if self._run is not None:
            with self._harmless():
                self._run.log(values)

    def finish(
        self, summary: Mapping[str, Any], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Ends the Weights & Biases run, with its summary and its pictures (PNG files by name)."""
        if self._run is not None:
            with self._harmless():
                if pictures:
                    image = import_wandb().Image
                    shown = {name: image(str(path)) for name, path in pictures.items()}
                    self._run.log(shown)
                self._run.summary.update(dict(summary))
                self._run.finish(exit_code=int(failed))
