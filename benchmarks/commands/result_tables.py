"""Prints the metrics of a run: the primary metric first, with one column per part of the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.records.record import RunRecord
from benchmarks.runs.preparation import unused_terms

PARTS = ("test", "validation", "train")


def print_metrics(
    console: Console,
    metrics: Mapping[str, float],
    primary: str,
    *,
    absent: Mapping[str, str] | None = None,
    floors: Mapping[str, Mapping[str, float]] | None = None,
    unused_terms: Collection[str] = (),
) -> None:
    """Prints metrics as a table with one row per metric.

    The primary metric is first, then the other metrics, the loss and its terms.

    Args:
        console: where to print.
        metrics: the metrics by name with part, such as `test/accuracy`.
        primary: the name of the primary metric.
        absent: by metric without a meaning for the run, the reason.
        floors: by floor, its metrics on test data; those of the primary metric are printed.
        unused_terms: loss terms of weight zero, which are left out.
    """
    found: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        part, metric = name.split("/", 1)
        if metric.removeprefix("loss/") not in unused_terms or metric == "loss":
            found.setdefault(metric, {})[part] = value
    parts = [part for part in PARTS if any(part in values for values in found.values())]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric")
    for part in parts:
        table.add_column(part, justify="right")
    for metric in sorted(found, key=lambda name: (_rank(name, primary), list(found).index(name))):
        values = [f"{found[metric][p]:.6g}" if p in found[metric] else "" for p in parts]
        table.add_row(metric, *values, style="bold" if metric == primary else None)
    console.print(table)
    reached = {
        name: values[primary] for name, values in (floors or {}).items() if primary in values
    }
    if reached:
        listed = ", ".join(f"{name} {value:.6g}" for name, value in reached.items())
        console.print(f"floors of {primary} on test data: {listed}", soft_wrap=True)
    for name, reason in (absent or {}).items():
        console.print(f"{name}: n/a ({reason})", soft_wrap=True)


def print_record_metrics(console: Console, record: RunRecord) -> None:
    """Prints the metrics of a run as `print_metrics` does, with floors and absent metrics.

    Args:
        console: where to print.
        record: the record of the run.
    """
    print_metrics(
        console,
        record.metrics_and_losses,
        record.metric,
        absent=record.absent,
        floors=record.floors,
        unused_terms=() if record.status == "failed" else unused_terms(record.spec),
    )


def _rank(metric: str, primary: str) -> int:
    """Sorts the primary metric before other metrics, then the loss, then its terms."""
    if metric == primary:
        return 0
    return 3 if metric.startswith("loss/") else 2 if metric == "loss" else 1
