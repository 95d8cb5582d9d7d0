"""Measures how fast variants train, against their textbook versions and a large matrix product.

Each variant is timed in a fresh process. There the variant, its textbook version and a large matrix
product alternate, with the same batch, threads and allocator; the fastest round counts. The
textbook version is trained in float32 with PyTorch's default Adam, without gradient clipping. Each
memory peak is measured in a separate process.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

    from models.variant import Hyperparameters, Shape, Variant

ROUNDS = 4
"""Rounds per variant; fewer, but at least two, if all would take longer than `PATIENCE`."""
PATIENCE = 25.0
"""Seconds that the rounds of a variant may take."""
SHORTEST = 0.2
"""Seconds that a timed repetition takes at least; it repeats the step as often as needed."""
MATRIX = 3072
"""Rows and columns of the matrices in the product."""

Contender = tuple[bool, str]
"""What is timed: whether it is the textbook version, and the precision of the step."""
TEXTBOOK: Contender = (True, "float32")


class Case(NamedTuple):
    """Names a variant to measure, and how its steps are made."""

    variant: str
    batch: int
    settings: dict[str, Any]
    """The hyper-parameters that replace defaults, by name."""
    threads: int
    precisions: tuple[str, ...]
    device: str


@dataclass
class Measured:
    """Holds the measurements of one variant."""

    seconds: dict[Contender, float]
    """Seconds per training step."""
    peak: dict[str, float]
    """FLOP/s of the matrix product, by precision."""
    flops: int
    """FLOPs of a training step of the variant, counted by PyTorch."""
    memory: dict[Contender, int] = field(default_factory=dict)
    """Bytes by which the peak memory grew over two steps."""


def measure_case(case: Case) -> Measured:
    """Measures one variant: speed in one fresh process, and each memory peak in another one.

    Args:
        case: what to measure.

    Returns:
        The measurements; a variant without a textbook version has none of `TEXTBOOK`.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh:
        measured = fresh.submit(_times, case).result()
        for contender in measured.seconds:
            measured.memory[contender] = fresh.submit(_memory, case, contender).result()
    return measured


def profile_operators(case: Case) -> list[tuple[str, float, float, float]]:
    """Profiles a float32 training step of a variant on the CPU, in a fresh process.

    Args:
        case: what to measure.

    Returns:
        The operators, the slowest first: name, calls per step, own seconds per step, share of the
        time of all operators.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_profile, case).result()


def is_trainable(name: str) -> bool:
    """Returns whether a variant has gradients.

    Args:
        name: the name of the variant.
    """
    import torch

    with torch.device("meta"):
        return _model(name, {}).trainable


def _profile(case: Case) -> list[tuple[str, float, float, float]]:
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.set_num_threads(case.threads)
    step = _step(case, (False, "float32"))
    assert step is not None
    step()
    steps = max(1, round(SHORTEST / _seconds(step, case.device, 2)))
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


def _model(name: str, settings: dict[str, Any]) -> Variant:
    """Builds an untrained variant, on an untrained base with its defaults if it needs one."""
    from benchmarks.speed.timing import untrained_model

    return untrained_model(name, _shape(name, settings), _config(name, settings))


def _config(name: str, settings: dict[str, Any]) -> Hyperparameters:
    from models import registry

    return registry.variant(name).Config.model_validate(settings)


def _shape(name: str, settings: dict[str, Any]) -> Shape:
    from benchmarks import datasets
    from benchmarks.datasets.frames import Frames
    from models import registry

    task = registry.available()[name].task
    return datasets.find("mnist").shape_of(task, Frames.of(_config(name, settings)))


def _step(case: Case, contender: Contender) -> Callable[[], None] | None:
    """Returns a function that makes a training step on a fixed batch; None without a textbook."""
    import torch

    from benchmarks.speed.timing import noise_batch, training_step

    torch.manual_seed(0)
    model = _model(case.variant, case.settings).to(case.device)
    batch = noise_batch(_shape(case.variant, case.settings), case.batch, case.device)
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
    module = f"models.textbook.{name.replace('-', '_')}"
    try:
        return importlib.import_module(module).textbook
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return None


def _times(case: Case) -> Measured:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(case.threads)
    ours = [(False, precision) for precision in case.precisions]
    built = {contender: _step(case, contender) for contender in (*ours, TEXTBOOK)}
    calls = {
        contender: partial(_seconds, step, case.device)
        for contender, step in built.items()
        if step is not None
    }
    with FlopCounterMode(display=False) as counter:
        calls[ours[0]](1)
    repeats = {contender: _repeats(call) for contender, call in calls.items()}
    products = {p: _product(getattr(torch, p), case.device) for p in case.precisions}
    seconds = dict.fromkeys(calls, float("inf"))
    peak = dict.fromkeys(case.precisions, 0.0)
    begun = time.perf_counter()
    for done in range(1, ROUNDS + 1):
        for precision, product in products.items():
            peak[precision] = max(peak[precision], 2 * MATRIX**3 / product(2))
        for contender, call in calls.items():
            seconds[contender] = min(seconds[contender], call(repeats[contender]))
        if done >= 2 and (time.perf_counter() - begun) * (done + 1) / done > PATIENCE:
            break
    return Measured(seconds, peak, counter.get_total_flops())


def _repeats(call: Callable[[int], float]) -> int:
    """Counts the steps that take `SHORTEST` seconds together.

    The first call also allocates memory, so it is not used unless it takes more than a second.
    """
    first = call(1)
    return max(1, round(SHORTEST / (first if first > 1 else call(1))))


def _product(dtype: torch.dtype, device: str) -> Callable[[int], float]:
    """Returns a function that times repeated matrix products, in seconds per product."""
    import torch

    factor = torch.rand(MATRIX, MATRIX, device=device).to(dtype)
    return partial(_seconds, partial(torch.mm, factor, factor), device)


def _seconds(step: Callable[[], Any], device: str, repeats: int) -> float:
    """Times `repeats` calls and returns the seconds per call."""
    import torch

    start = time.perf_counter()
    for _ in range(repeats):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def _memory(case: Case, contender: Contender) -> int:
    import torch

    from benchmarks.runs.costs import peak_memory_bytes, reset_peak_memory

    torch.set_num_threads(case.threads)
    step = _step(case, contender)
    assert step is not None
    reset_peak_memory(case.device)
    before = peak_memory_bytes(case.device)
    step()
    step()
    return peak_memory_bytes(case.device) - before
