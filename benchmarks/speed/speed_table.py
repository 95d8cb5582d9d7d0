"""Prints how fast variants train: the table of `capsbench speed`, row by row."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from benchmarks.speed.step_speed import (
    ROUNDS,
    TEXTBOOK,
    Case,
    Measured,
    is_trainable,
    measure_case,
    profile_operators,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OPERATORS = 12
"""Rows of the table of operators."""
BATCH = {"classification": 128, "autoencoding": 128, "prediction": 2}
PRECISIONS = ("float32", "bfloat16")


COLUMNS = {
    "variant": 20,
    "batch": 5,
    "precision": 9,
    "samples/s": 10,
    "× textbook": 10,
    "of peak": 7,
    "MiB": 6,
    "textbook MiB": 12,
    "peak GFLOP/s": 12,
}
"""Widths of the columns. They are fixed, because each row is printed as soon as it is measured."""


def print_speed(
    variants: list[str] | None,
    threads: int,
    batch: int | None = None,
    settings: dict[str, Any] | None = None,
    *,
    device: str = "cpu",
    profiled: bool = False,
) -> None:
    """Measures variants and prints the table of training steps, row by row.

    Args:
        variants: their names; variants without gradients are skipped. Without names, all trainable
            variants are measured, and on the CPU also the overhead of a run.
        threads: number of CPU threads.
        batch: number of samples per step; by default the usual number for the task.
        settings: hyper-parameters that replace defaults, by name.
        device: `cpu` or `cuda`.
        profiled: whether to print also which operators take the time.
    """
    from rich.console import Console

    from benchmarks.speed.allocator import keep_freed_memory
    from models import registry

    keep_freed_memory()
    console = Console(width=None if sys.stdout.isatty() else 120)
    precisions = _precisions(console, device)
    known = registry.available()
    cases = [
        Case(name, batch or BATCH[known[name].task], settings or {}, threads, precisions, device)
        for name in filter(is_trainable, variants or known)
    ]
    print_steps(console, cases)
    for case in cases if profiled else ():
        console.print(operator_table(case))
    if not variants and device == "cpu":
        from benchmarks.speed.overhead import against_a_loop

        console.print(against_a_loop(threads))


def _precisions(console: Console, device: str) -> tuple[str, ...]:
    """Lists the precisions that are not slow on this machine, and prints why one is left out."""
    from benchmarks.speed.processor import missing_units

    sentence = missing_units("bf16-mixed", device)
    if sentence is None:
        return PRECISIONS
    console.print(f"bfloat16 is left out: {sentence}", soft_wrap=True)
    return PRECISIONS[:1]


def print_steps(console: Console, cases: list[Case]) -> None:
    """Measures cases and prints one row per case and precision.

    A row has samples per second, speed relative to the textbook version, the share of the matrix
    product's FLOP/s, and memory.

    Args:
        console: where to print.
        cases: what to measure, with equal threads and devices; none prints nothing.
    """
    if not cases:
        return
    where = f"{cases[0].threads} threads" if cases[0].device == "cpu" else cases[0].device
    console.print(f"Training steps, {where}, best of {ROUNDS} interleaved rounds", style="italic")
    console.print(_line(COLUMNS), style="bold", no_wrap=True)
    for number, case in enumerate(cases, 1):
        with console.status(f"measuring {case.variant} ({number} of {len(cases)})"):
            measured = measure_case(case)
        for row in _rows(case, measured):
            console.print(_line(row), no_wrap=True, highlight=False)
    console.print("The peak is the rate of a matrix product, measured between the steps.")


def _line(cells: Iterable[str]) -> str:
    """Formats one row of the table: words aligned left, numbers aligned right."""
    return "  ".join(
        f"{cell:<{width}}" if name in ("variant", "precision") else f"{cell:>{width}}"
        for cell, (name, width) in zip(cells, COLUMNS.items(), strict=True)
    )


def operator_table(case: Case) -> Table:
    """Profiles a float32 training step of a variant on the CPU, in a fresh process.

    Args:
        case: what to measure.

    Returns:
        A table of the `OPERATORS` operators that take most time: name, calls per step,
        milliseconds per step, share of all operators' time.
    """
    from rich.table import Table

    table = Table(
        title=f"{case.variant}: where a step and its profiler spend time, {case.threads} threads"
    )
    for column in ("operator", "calls per step", "ms per step", "share"):
        table.add_column(column, justify="left" if column == "operator" else "right")
    for name, calls, seconds, share in profile_operators(case)[:OPERATORS]:
        table.add_row(name, f"{calls:g}", f"{1e3 * seconds:.2f}", f"{share:.0%}")
    return table


def _rows(case: Case, measured: Measured) -> list[list[str]]:
    textbook, batch = measured.seconds.get(TEXTBOOK), case.batch
    rows = []
    for precision in case.precisions:
        contender = (False, precision)
        seconds, peak = measured.seconds[contender], measured.peak[precision]
        rows.append(
            [
                case.variant,
                str(batch),
                precision,
                f"{batch / seconds:,.4g}" if batch / seconds < 1000 else f"{batch / seconds:,.0f}",
                f"{textbook / seconds:.2f}" if textbook else "–",
                f"{measured.flops / seconds / peak:.0%}",
                f"{measured.memory[contender] / 2**20:,.0f}",
                f"{measured.memory[TEXTBOOK] / 2**20:,.0f}" if textbook else "–",
                f"{peak / 1e9:,.0f}",
            ]
        )
    return rows
