"""Times training steps and forward passes of untrained models on random batches."""

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
"""Seconds that a timed step may take, unless two samples take longer."""

CALLS = 3
"""How often a step is timed. The shortest time counts: the first call also loads and allocates."""


class SampleTimes(NamedTuple):
    """Holds the seconds that one sample takes."""

    training: float
    """Seconds in a training step; 0 for a variant that is not trained by gradients."""
    evaluation: float
    """Seconds in a forward pass."""


def noise_batch(shape: Shape, count: int, device: str = "cpu") -> Batch:
    """Makes a batch of random samples.

    Args:
        shape: the shape of a sample.
        count: number of samples.
        device: where the batch is made.

    Returns:
        The batch, with values uniform in [0, 1) and random labels.
    """
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
    """Builds an untrained model; if it needs a base, on a frozen, untrained base.

    Args:
        variant: the name of the model.
        shape: the shape of a sample.
        config: the model's hyper-parameters.
        base: the hyper-parameters of the base; by default its defaults.

    Returns:
        The model, on the CPU.
    """
    cls, model = registry.variant(variant), None
    if cls.base_variant is not None:
        base = base or registry.variant(cls.base_variant).Config()
        model = untrained_model(cls.base_variant, shape, base).requires_grad_(False).eval()
    return registry.build(variant, shape=shape, config=config, base=model)


def training_step(
    model: Variant, batch: Batch, precision: torch.dtype = torch.float32
) -> Callable[[], None]:
    """Returns a function that makes one training step of a model with its own optimiser.

    Args:
        model: the model; its weights change with each call.
        batch: the batch of each step, on the model's device.
        precision: `torch.bfloat16` computes the forward pass under autocast.
    """
    recipe = model.optimization()
    device = batch[0].device.type

    def step() -> None:
        recipe.optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == torch.bfloat16):
            terms, _ = model.loss(batch)
        recipe.update(model, model.total(terms))

    return step


def sample_times(
    model: Variant,
    shape: Shape,
    *,
    batch_size: int,
    threads: int,
    device: str = "cpu",
    patience: float | None = None,
) -> SampleTimes:
    """Times a training step and a forward pass of a model.

    The number of samples grows up to `batch_size`, as long as a step takes at most `patience`
    seconds. On a CPU, the processor time of one thread is measured and divided by `threads`:
    wall-clock time of several threads can be a hundred times as long while other programs compute.
    The number of torch's threads and the CPU's random state are restored.

    Args:
        model: the model; it is moved to the device and trained a little.
        shape: the shape of a sample.
        batch_size: the largest number of samples per step.
        threads: number of CPU threads of the run that is estimated.
        device: `cpu` or `cuda`.
        patience: seconds that a step may take; None: `PATIENCE`.

    Returns:
        Seconds per sample, in a training step and in a forward pass.
    """
    longest = PATIENCE if patience is None else patience
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
                    longest,
                )
            evaluation, _ = _grown(
                lambda count: _forward(model, noise_batch(shape, count, device)),
                count,
                device,
                longest,
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


def _grown(
    make: Callable[[int], Callable[[], None]], most: int, device: str, patience: float
) -> tuple[float, int]:
    """Times a step with a growing number of samples.

    Args:
        make: makes a step on a number of samples.
        most: the largest number of samples.
        device: `cpu` or `cuda`.
        patience: seconds that a step may take.

    Returns:
        Seconds per sample, and the number of samples of the last step.
    """
    count = min(2, most)  # batch norm cannot train on one value per channel
    while True:
        step = make(count)
        taken = min(_seconds(step, device) for _ in range(CALLS))
        if count == most or 2 * taken > patience:
            return taken / count, count
        count = min(most, max(2 * count, int(count * patience / taken)))


def _seconds(step: Callable[[], Any], device: str) -> float:
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start
