"""How fast variants train: against their textbook versions and the machine's matrix products.

Each variant is timed in a fresh process, where it, its textbook version (the oracle of the tests,
in float32, with Adam as torch has it by default, gradients not clipped) and a large matrix product
take turns: same batch, same threads, same allocator, the best of the rounds. Each peak of memory is
measured in a process of its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table

    from models.variant import Hyperparameters, Shape, Variant

ROUNDS = 4
SHORTEST = 0.2
"""Seconds that a timed repetition lasts at least, of as many steps as that takes."""
MATRIX = 3072
OPERATORS = 12
"""Rows of a profile."""
BATCH = {"classification": 128, "autoencoding": 128, "prediction": 4}
PRECISIONS = ("float32", "bfloat16")

Contender = tuple[bool, str]
"""Whether it is the textbook version, and its precision."""
OURS: tuple[Contender, ...] = tuple((False, precision) for precision in PRECISIONS)
TEXTBOOK: Contender = (True, "float32")


class Case(NamedTuple):
    """What is timed."""

    variant: str
    batch: int
    settings: dict[str, Any]
    """Hyper-parameters beside the defaults."""


@dataclass
class Measured:
    """One variant's figures."""

    seconds: dict[Contender, float]
    """Of a training step."""
    peak: dict[str, float]
    """FLOP/s of the matrix product, by precision."""
    flops: int
    """Of a training step of ours, by torch's counter."""
    memory: dict[Contender, int] = field(default_factory=dict)
    """Bytes by which the peak of resident memory grew over two steps."""


def main(
    variants: list[str] | None,
    threads: int,
    batch: int | None = None,
    settings: dict[str, Any] | None = None,
    *,
    profiled: bool = False,
) -> None:
    """Prints the table of training steps; without names, of all trainable variants, and then what
    a run costs beside its training.

    `batch`: samples in a step, by default what is usual for the task. `settings`: hyper-parameters
    beside the defaults. `profiled`: and in which operators the time goes.
    """
    from rich.console import Console

    from benchmarks.allocator import keep_freed_memory
    from models import registry

    keep_freed_memory()
    known = registry.available()
    cases = [
        Case(name, batch or BATCH[known[name].task], settings or {})
        for name in filter(_trainable, variants or known)
    ]
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(training_steps(cases, threads))
    for case in cases if profiled else ():
        console.print(operators(case, threads))
    if not variants:
        from benchmarks.overhead import against_a_loop

        console.print(against_a_loop(threads))


def training_steps(cases: list[Case], threads: int) -> Table:
    """Samples/s of each case's training step, its ratio to the textbook, peak share, memory."""
    from rich.table import Table

    table = Table(title=f"Training steps, {threads} threads, best of {ROUNDS} interleaved rounds")
    for column in ("variant", "batch", "precision"):
        table.add_column(column, no_wrap=True)
    for column in ("samples/s", "× textbook", "of peak", "MiB", "textbook MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    peaks: list[dict[str, float]] = []
    for case in cases:
        measured = measure(case, threads)
        peaks.append(measured.peak)
        for row in _rows(case, measured):
            table.add_row(*row)
    products = (
        f"{low / 1e9:.0f} to {high / 1e9:.0f} in {precision}"
        for precision in PRECISIONS
        for low, high in [(f(peak[precision] for peak in peaks) for f in (min, max))]
    )
    table.caption = f"the peak, a matrix product: {', '.join(products)} GFLOP/s"
    return table


def measure(case: Case, threads: int) -> Measured:
    """All figures of one variant, each process in its turn."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        measured = fresh.submit(_times, case, threads).result()
        for contender in measured.seconds:
            memory = fresh.submit(_memory, case, contender, threads)
            measured.memory[contender] = memory.result()
    return measured


def operators(case: Case, threads: int) -> Table:
    """The operators that take most of a float32 training step, by torch's profiler."""
    from rich.table import Table

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        rows = fresh.submit(_profile, case, threads).result()
    table = Table(
        title=f"{case.variant}: where a step and its profiler spend time, {threads} threads"
    )
    for column in ("operator", "calls a step", "ms a step", "share"):
        table.add_column(column, justify="left" if column == "operator" else "right")
    for name, calls, seconds, share in rows[:OPERATORS]:
        table.add_row(name, f"{calls:g}", f"{1e3 * seconds:.2f}", f"{share:.0%}")
    return table


def _profile(case: Case, threads: int) -> list[tuple[str, float, float, float]]:
    """Of each operator: name, calls and own seconds of a step, share of all operators' time."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.set_num_threads(threads)
    step = _step(case, OURS[0])
    assert step is not None
    step()
    steps = max(1, round(SHORTEST / _seconds(step, 2)))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    found = sorted(profiler.key_averages(), key=lambda e: e.self_cpu_time_total, reverse=True)
    whole = sum(event.self_cpu_time_total for event in found)
    return [
        (
            event.key,
            event.count / steps,
            event.self_cpu_time_total / 1e6 / steps,
            event.self_cpu_time_total / whole,
        )
        for event in found
    ]


def _rows(case: Case, measured: Measured) -> list[list[str]]:
    textbook, batch = measured.seconds.get(TEXTBOOK), case.batch
    rows = []
    for contender in OURS:
        seconds, precision = measured.seconds[contender], contender[1]
        share = measured.flops / seconds / measured.peak[precision]
        rows.append(
            [
                case.variant,
                str(batch),
                precision,
                f"{batch / seconds:,.4g}" if batch / seconds < 1000 else f"{batch / seconds:,.0f}",
                f"{textbook / seconds:.2f}" if textbook else "–",
                f"{share:.0%}",
                f"{measured.memory[contender] / 2**20:,.0f}",
                f"{measured.memory[TEXTBOOK] / 2**20:,.0f}" if textbook else "–",
            ]
        )
    return rows


def _trainable(name: str) -> bool:
    import torch

    with torch.device("meta"):
        return _model(Case(name, 1, {})).trainable


def _model(case: Case) -> Variant:
    """Builds an untrained variant, on an untrained base with its defaults if it needs one."""
    from benchmarks.timing import untrained

    return untrained(case.variant, _shape(case), _config(case))


def _config(case: Case) -> Hyperparameters:
    from models import registry

    return registry.variant(case.variant).Config.model_validate(case.settings)


def _shape(case: Case) -> Shape:
    from benchmarks.shapes import shape_of

    return shape_of("mnist", _config(case))


def _step(case: Case, contender: Contender) -> Callable[[], None] | None:
    """A training step on a fixed batch; None of a textbook version that nobody wrote."""
    import torch

    from benchmarks.timing import batch_of, training_step

    torch.manual_seed(0)
    model, batch = _model(case), batch_of(_shape(case), case.batch)
    is_textbook, precision = contender
    if not is_textbook:
        return training_step(model, batch, getattr(torch, precision))
    textbook = _oracle(case.variant)
    if textbook is None:
        return None
    oracle = textbook(model)
    adam = torch.optim.Adam(oracle.parameters(), lr=1e-4)

    def plain() -> None:
        adam.zero_grad()
        oracle.loss(batch).backward()
        adam.step()

    return plain


def _oracle(name: str) -> Callable[[Any], Any] | None:
    module = f"tests.models.oracles.{name.replace('-', '_')}"
    try:
        return importlib.import_module(module).textbook
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return None


def _times(case: Case, threads: int) -> Measured:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(threads)
    built = {contender: _step(case, contender) for contender in (*OURS, TEXTBOOK)}
    steps = {contender: step for contender, step in built.items() if step is not None}
    with FlopCounterMode(display=False) as counter:
        steps[OURS[0]]()
    repeats = {}
    for contender, step in steps.items():
        step()
        repeats[contender] = max(1, round(SHORTEST / _seconds(step, 1)))
    factors = {p: torch.rand(MATRIX, MATRIX).to(getattr(torch, p)) for p in PRECISIONS}
    seconds = dict.fromkeys(steps, float("inf"))
    peak = dict.fromkeys(PRECISIONS, 0.0)
    for _ in range(ROUNDS):
        for precision, matrix in factors.items():
            product = _seconds(partial(torch.mm, matrix, matrix), 2)
            peak[precision] = max(peak[precision], 2 * MATRIX**3 / product)
        for contender, step in steps.items():
            seconds[contender] = min(seconds[contender], _seconds(step, repeats[contender]))
    return Measured(seconds, peak, counter.get_total_flops())


def _seconds(step: Callable[[], Any], repeats: int) -> float:
    """Of one of `repeats` calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def _memory(case: Case, contender: Contender, threads: int) -> int:
    import torch

    from benchmarks.costs import peak_memory_bytes, reset_peak_memory

    torch.set_num_threads(threads)
    step = _step(case, contender)
    assert step is not None
    reset_peak_memory()
    before = peak_memory_bytes()
    step()
    step()
    return peak_memory_bytes() - before
