"""Writes the headline table and figure from the rows and their records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records.record import RunRecord
from reports.headline.rows import FOLDER, Measured, measured_rows
from reports.statistics.intervals import Estimate

TITLES = ("row", "dataset (data)", "ours", "95 %", "seeds", "published", "verdict")
BEGIN, END = "<!-- headline: begin -->", "<!-- headline: end -->"
"""What stands around the table in the README."""


ROOT = FOLDER.parents[1]
DOCUMENT, README = ROOT / "docs" / "headline.md", ROOT / "README.md"


def write_headline() -> None:
    """Writes `docs/headline.md`, `docs/headline.png`, and the table in the README."""
    rows = measured_rows()
    DOCUMENT.write_text(document(rows), encoding="utf-8")
    draw_published_curves(rows, DOCUMENT.with_suffix(".png"))
    README.write_text(with_table(README.read_text(encoding="utf-8"), rows), encoding="utf-8")


def with_table(text: str, rows: Sequence[Measured]) -> str:
    """Puts the headline table of the rows that have records between the two marks in a text.

    Raises:
        ValueError: if a mark is missing.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table([m for m in rows if m.records])}\n{END}{after}"


def document(rows: Sequence[Measured]) -> str:
    """Writes the headline table, and below it the command and the provenance of each row."""
    lines = [
        "# Headline figures",
        "",
        "Runs of full size beside published figures. Made from the records in "
        "`reports/headline/records` by `capsbench report --headline`; a test derives each number "
        "again.",
        "",
        table(rows),
        "",
        "## How each row was made",
        "",
        "`--seed 0`, `--seed 1` and `--seed 2` make the three seeds. `capsbench reproduce RUN_ID` "
        "re-runs one and compares it.",
        "",
    ]
    for measured in rows:
        lines += [f"### {measured.row.name}", "", *_details(measured), ""]
    return "\n".join(lines)


def table(rows: Sequence[Measured]) -> str:
    """Writes one line per headline row, as a Markdown table."""
    body = [_cells(measured) for measured in rows]
    head = [TITLES, tuple("---" for _ in TITLES)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (*head, *body))


def _cells(measured: Measured) -> tuple[str, ...]:
    row, score = measured.row, measured.score
    figure = row.published
    data = measured.records[0].data if measured.records else None
    state = f" ({data.state})" if data else ""
    known = bool(measured.records)
    return (
        f"{row.title} (`{row.variant}`)",
        f"{row.dataset}{state}",
        _shown(row.metric, score.mean) if known else "–",
        _bounds(row.metric, score) if known else "–",
        str(len(measured.records)),
        _shown(row.metric, figure.value) if figure else "none",
        measured.verdict,
    )


def _bounds(metric: str, score: Estimate) -> str:
    """Writes an interval; a dash if there is none."""
    if math.isnan(score.low):
        return "–"
    return f"{_shown(metric, score.low)} to {_shown(metric, score.high)}"


def _interval(metric: str, score: Estimate) -> str:
    """Writes a mean, with its interval if there is one."""
    bounds = "" if math.isnan(score.low) else f" ({_bounds(metric, score)})"
    return _shown(metric, score.mean) + bounds


def _shown(metric: str, value: float) -> str:
    """Writes a share in percent, and anything else as it is."""
    if metric.endswith(("mse", "mae")):
        return f"{value:.1f}"
    return f"{100 * value:.2f} %"


def _details(measured: Measured) -> list[str]:
    row, figure = measured.row, measured.row.published
    lines = [f"- `{row.command}`"]
    if figure:
        runs = f"{figure.n} runs" if figure.n > 1 else "1 run"
        lines.append(
            f"- published: {_shown(row.metric, figure.value)} ({figure.protocol}; {runs}; chosen "
            f"on: {figure.selection}; {figure.source})"
        )
    if figure and figure.curve and measured.curve:
        ours = ", ".join(_interval(row.metric, score) for score in measured.curve)
        theirs = ", ".join(_shown(row.metric, value) for value in figure.curve)
        lines.append(f"- by epoch: published {theirs}; ours {ours}")
    lines += [_run_line(record, row.metric) for record in measured.records]
    return lines


def _run_line(record: RunRecord, metric: str) -> str:
    where, counts = record.provenance, record.samples
    tested = 0 if counts is None else counts.test
    return (
        f"- seed {record.seed}: {_shown(metric, record.metrics[metric])}; `{record.run_id}`, "
        f"{record.epochs} epochs, {tested:,} test samples, code {where.code_version} "
        f"(commit {where.commit}), torch {where.versions.get('torch')}, "
        f"{where.gpu or where.cpu} ({where.cpu_capability}), "
        f"{record.cost('train_seconds') / 3600:.2f} h of training, digest {record.digest[:16]}"
    )


def draw_published_curves(rows: Sequence[Measured], path: Path) -> None:
    """Draws the metric by epoch of each row that has a published curve, beside that curve."""
    from matplotlib.figure import Figure

    shown = [m for m in rows if m.row.published and m.row.published.curve and m.records]
    if not shown:
        path.unlink(missing_ok=True)
        return
    figure = Figure(figsize=(6, 3.5 * len(shown)), layout="constrained")
    for place, measured in enumerate(shown):
        axes = figure.add_subplot(len(shown), 1, place + 1)
        curve = measured.row.published.curve if measured.row.published else []
        axes.plot(range(1, len(curve) + 1), curve, "o-", label="published, one run")
        for record in measured.records:
            tested = measured.by_epoch(record, measured.row.metric)
            axes.plot(*tested, "s-", color="C1", alpha=0.6)
            trained = measured.by_epoch(record, f"train/{record.metric}")
            axes.plot(*trained, ":", color="C1", alpha=0.6)
        axes.plot([], [], "s-", color="C1", label="ours, test data, one line per seed")
        axes.plot([], [], ":", color="C1", label="ours, training data")
        axes.set_title(measured.row.title)
        axes.set_xlabel("epoch")
        axes.set_ylabel(measured.row.metric.split("/")[1])
        axes.legend()
    figure.savefig(path, dpi=150, metadata={"Software": None})
