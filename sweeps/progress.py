"""Shows the progress of a sweep: a live view in a terminal, else plain lines."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmarks.commands.cli import duration
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from sweeps.cells.cell import Cell
from sweeps.engines import Job
from sweeps.estimates.stored_estimate import forget_estimate, store_estimate
from sweeps.estimates.time_left import TimeLeft
from sweeps.estimates.timing_process import TimingProcess

TIMING_AFTER = 10.0
"""Seconds of a sweep before steps are timed: a shorter sweep does not pay for it."""

ESTIMATE_SECONDS = 1.0
"""Seconds for which an estimate of the time left is kept, because it reads files."""

STORE_SECONDS = 10.0
"""Seconds between two stored estimates, which `capsbench status` shows."""

BAR_WIDTH = 30
"""Columns of the bar, at most: a narrow terminal has fewer."""


class Progress:
    """Shows finished cells, running runs with epoch and metric, and the time left.

    Args:
        cells: the cells of the sweep.
        results: the results folder, from which the epochs of running runs are read.
    """

    def __init__(self, cells: list[Cell], results: Path) -> None:
        self._cells, self._results = cells, results
        self._console = Console(stderr=True)
        self._running: dict[str, tuple[Cell, Job, float]] = {}
        self._begun = time.monotonic()
        self.workers = 1
        """How many runs are computed at the same time; the driver sets it."""
        self._time_left = TimeLeft(cells, self._finished_epochs)
        self._timing = TimingProcess(results, self._time_left.timed)
        self._estimate, self._estimated, self._stored = math.inf, -math.inf, -math.inf
        self._announced: set[str] = {cell.study for cell in cells if cell.done}
        self._live = (
            Live(get_renderable=self._view, console=self._console, refresh_per_second=2)
            if self._console.is_terminal
            else None
        )

    def __enter__(self) -> Progress:
        otherwise = {r: why for cell in self._cells for r, why in cell.made_otherwise.items()}
        if otherwise:
            why = escape(next(iter(otherwise.values())))
            self._say(
                f"{len(otherwise)} runs were made under other conditions ({why}): they are kept, "
                "and what is added now mixes with them; "
                f"`capsbench retry --other-code --results {self._results}` re-runs them"
            )
        if self._announced and self._remaining():
            self._say(f"{len(self._announced)} of {len(self._cells)} cells were done before")
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timing.stop()
        forget_estimate(self._results)
        if self._live is not None:
            self._live.stop()

    def begin(self, cell: Cell, job: Job) -> None:
        """Notes that a worker has got a run.

        Args:
            cell: the cell of the run.
            job: the run.
        """
        self._running[job.spec.run_id] = (cell, job, time.monotonic())
        self._time_left.begin(job)

    def retry(self, job: Job) -> None:
        """Prints that the worker of a run has died and the run is retried.

        Args:
            job: the run.
        """
        self._say(f"[yellow]begun again[/] {job.spec.run_id}: its worker died")

    def hold(self, cell: Cell, job: Job) -> None:
        """Prints that another process makes a run, and that the cell of the run is left out.

        Args:
            cell: the cell of the run.
            job: the run.
        """
        del self._running[job.spec.run_id]
        self._time_left.drop(job)
        self._say(f"[red]left out[/] {cell.study}: {escape(str(cell.held))}")

    def end(self, cell: Cell, job: Job, record: RunRecord) -> None:
        """Notes that a run has ended; prints the reason if it has failed.

        Args:
            cell: the cell of the run.
            job: the run.
            record: the record of the run.
        """
        del self._running[job.spec.run_id]
        self._time_left.end(job, record)
        if record.status == "failed":
            self._say(f"[red]failed[/] {record.run_id}: {escape(str(record.reason))}")

    def update(self) -> None:
        """Prints the cells that have been finished since the last call, with their results."""
        self._time_steps()
        self._store_estimate()
        for cell in self._cells:
            if cell.done and cell.study not in self._announced:
                self._announced.add(cell.study)
                left = self._left()
                self._say(f"{self._count()} {cell.study}: {_result(cell)}{left and f'; {left}'}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def _count(self) -> str:
        return f"[{len(self._announced)}/{len(self._cells)}]".replace("[", r"\[")

    def _remaining(self) -> int:
        return sum(cell.left for cell in self._cells)

    def seconds_left(self) -> float:
        """Estimates the seconds left; infinite while nothing is known of a cell."""
        now = time.monotonic()
        if now - self._estimated >= ESTIMATE_SECONDS:
            self._estimated, self._estimate = now, self._time_left.seconds(self.workers)
        return self._estimate

    def ends_within(self, seconds: float) -> bool:
        """Returns whether the sweep may end within a time; a rough estimate is enough.

        Args:
            seconds: the time.
        """
        known = self.seconds_left()
        if math.isinf(known):
            known = self._time_left.seconds(self.workers, rough=True)
        return known < seconds

    def _time_steps(self) -> None:
        """Starts timing the steps of cells that have no measured run, unless the sweep is short."""
        if self._timing.started or time.monotonic() - self._begun < TIMING_AFTER:
            return
        if self._time_left.unknown():
            remaining = [(cell.variant, cell.dataset) for cell in self._cells if cell.left]
            self._timing.start(remaining)

    def _store_estimate(self) -> None:
        """Stores the time left for `capsbench status` now and then."""
        now, seconds = time.monotonic(), self.seconds_left()
        if math.isfinite(seconds) and now - self._stored >= STORE_SECONDS:
            self._stored = now
            store_estimate(self._results, seconds)

    def _finished_epochs(self, run_id: str) -> int:
        return RunFolder(self._results, run_id).finished_epochs()[0]

    def _left(self) -> str:
        """Says how much time is left; empty at the end, and while it is not known."""
        seconds = self.seconds_left() if self._remaining() else math.inf
        return f"{duration(seconds)} left" if math.isfinite(seconds) else ""

    def _view(self) -> RenderableType:
        planned = sum(cell.planned for cell in self._cells)
        done = planned - self._remaining()
        left = self._left()
        text = (
            f"  {len(self._announced)} of {len(self._cells)} cells  {done} of {planned} runs  "
            f"{duration(time.monotonic() - self._begun)} gone{left and f', {left}'}"
        )
        width = min(BAR_WIDTH, max(1, self._console.width - len(text)))
        head = Table.grid()
        head.add_row(ProgressBar(total=planned, completed=done, width=width), text)
        body = Table.grid(padding=(0, 2))
        for run_id, (cell, job, begun) in list(self._running.items()):
            epoch, metrics = RunFolder(self._results, run_id).finished_epochs()
            score = metrics.get(f"validation/{cell.specs.metric}")
            body.add_row(
                Text(cell.study, style="bold"),
                job.spec.role,
                f"epoch {epoch}/{job.spec.budget.epochs}",
                "" if score is None else f"{cell.specs.metric} {score:.4g}",
                duration(time.monotonic() - begun),
            )
        return Group(head, body)


def _result(cell: Cell) -> str:
    if cell.failure is not None:
        return f"[red]no final[/] ({escape(cell.failure)})"
    scores = [
        record.metrics[f"test/{cell.specs.metric}"]
        for record in cell.finals.values()
        if record.status == "complete"
    ]
    return f"test {cell.specs.metric} {sum(scores) / len(scores):.4g} (n = {len(scores)})"
