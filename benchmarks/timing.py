"""Untrained models on random batches, and how long their steps take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks.datasets.samples import Batch
from models import registry
from models.variant import (
    Clips,
    ClipShape,
    Hyperparameters,
    Images,
    Points,
    PointShape,
    Shape,
    Variant,
)

PATIENCE = 2.0
"""Seconds that a step for an estimate takes at most, unless a single sample takes longer."""

CALLS = 3
"""How often a step is called. The shortest time counts: the first call also loads and allocates."""


class SampleTimes(NamedTuple):
    """Seconds that one sample takes."""

    training: float
    """In a training step; 0 of a variant that is not trained by gradients."""
    evaluation: float
    """In a forward pass."""


def noise_batch(shape: Shape, count: int, device: str = "cpu") -> Batch:
    """Makes a batch of noise, of `count` samples."""
    if isinstance(shape, PointShape):
        points = torch.rand(count, shape.points, 3, device=device)
        points[..., 2] = 1
        return Points(points, torch.randint(shape.patterns, (count, shape.points), device=device))
    frame = (shape.channels, shape.height, shape.width)
    if isinstance(shape, ClipShape):
        past = torch.rand(count, shape.past, *frame, device=device)
        return Clips(past, torch.rand(count, shape.future, *frame, device=device))
    labels = torch.randint(shape.classes, (count, shape.labels), device=device)
    return Images(torch.rand(count, *frame, device=device), labels)


def untrained_model(
    variant: str, shape: Shape, config: Hyperparameters, base: Hyperparameters | None = None
) -> Variant:
    """Builds a model; where it needs a base, on a frozen, untrained one.

    `base`: hyper-parameters of the base, by default its own defaults.
    """
    cls, model = registry.variant(variant), None
    if cls.base_variant is not None:
        base = base or registry.variant(cls.base_variant).Config()
        model = untrained_model(cls.base_variant, shape, base).requires_grad_(False).eval()
    return registry.build(variant, shape=shape, config=config, base=model)


def training_step(
    model: Variant, batch: Batch, precision: torch.dtype = torch.float32
) -> Callable[[], None]:
    """Gives a function that makes one training step of the variant's own recipe on a batch."""
    recipe = model.optimization()
    device = batch[0].device.type

    def step() -> None:
        recipe.optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == torch.bfloat16):
            terms, _ = model.loss(batch)
        recipe.update(model, model.total(terms))

    return step


def sample_times(
    model: Variant, shape: Shape, *, batch_size: int, threads: int, device: str = "cpu"
) -> SampleTimes:
    """Times a training step and a forward pass, each on as many samples as are quick.

    A slow step is timed on one sample; others on more, up to `batch_size`, as long as they take no
    more than `PATIENCE` seconds. On a CPU it is the processor's time of one thread, divided by
    `threads`: where other programs compute too, the clock's time of several threads that wait for
    each other can be a hundred times as long. torch's threads and random numbers are afterwards as
    before.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            model.to(device)
            training, count = 0.0, batch_size
            if model.trainable:
                training, count = _grown(
                    lambda count: training_step(model, noise_batch(shape, count, device)),
                    batch_size,
                    device,
                )
            evaluation, _ = _grown(
                lambda count: _forward(model, noise_batch(shape, count, device)), count, device
            )
    finally:
        torch.set_num_threads(before)
    spread = threads if device == "cpu" else 1
    return SampleTimes(training / spread, evaluation / spread)


def _forward(model: Variant, batch: Batch) -> Callable[[], None]:
    def forward() -> None:
        with torch.inference_mode():
            model.eval()(batch[0])

    return forward


def _grown(make: Callable[[int], Callable[[], None]], most: int, device: str) -> tuple[float, int]:
    """Seconds of one sample, and on how many they were measured."""
    count = 1
    while True:
        step = make(count)
        taken = min(_seconds(step, device) for _ in range(CALLS))
        if count == most or 2 * taken > PATIENCE:
            return taken / count, count
        count = min(most, max(2 * count, int(count * PATIENCE / taken)))


def _seconds(step: Callable[[], Any], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start
