"""Shows a run in TensorBoard: event files in `tensorboard/` in the run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.runs.view_failures import ends_only_the_view
from benchmarks.tensorboard import writer_class


class TensorBoardView:
    """Writes TensorBoard's event files.

    The view of a killed run is rewritten from `metrics.jsonl`. Where TensorBoard fails,
    one line on stderr says so, and the run goes on without the view.

    Args:
        folder: the folder of the run.
        run_id: names the run in messages.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self._run_id = run_id
        self._writer: Any = None
        path = folder / "tensorboard"
        with self._harmless():
            shutil.rmtree(path, ignore_errors=True)
            self._writer = writer_class()(log_dir=str(path))

    def _harmless(self) -> AbstractContextManager[None]:
        return ends_only_the_view("TensorBoard", self._run_id, self._end)

    def _end(self) -> None:
        self._writer = None

    def epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of an epoch at the number of the epoch."""
        self._scalars("epoch", epoch, metrics)

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of a training step."""
        self._scalars("step", step, metrics)

    def pictures(self, step: int, pictures: Mapping[str, Path]) -> None:
        """Shows pictures that were drawn after a training step."""
        if self._writer is not None:
            with self._harmless():
                for name, path in pictures.items():
                    with Image.open(path) as image:
                        pixels = np.asarray(image.convert("RGB"))
                    self._writer.add_image(name, pixels, step, dataformats="HWC")

    def finish(
        self, summary: Mapping[str, Any], pictures: Mapping[str, Path], *, failed: bool
    ) -> None:
        """Shows the pictures of a final and the status, and closes the files."""
        self.pictures(0, {f"test/{name}": path for name, path in pictures.items()})
        self._scalars("last", 0, {k: v for k, v in summary.items() if isinstance(v, float)})
        if self._writer is not None:
            with self._harmless():
                shown = [str(summary[k]) for k in ("status", "reason") if summary.get(k)]
                self._writer.add_text("status", ": ".join(shown) or "interrupted")
                self._writer.close()

    def _scalars(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            with self._harmless():
                for name, value in values.items():
                    self._writer.add_scalar(f"{group}/{name}", value, step)
