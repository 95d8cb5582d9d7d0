"""Derives seeds from named axes, so that randomness does not depend on what ran before."""

from __future__ import annotations

import hashlib
import json
from typing import TypedDict, Unpack


class Axes(TypedDict, total=False):
    """Lists all axes; each kind of randomness has axes of its own."""

    init: int
    """The first weights of a run's model; always 0."""
    order: int
    """The epoch whose order of training samples is drawn."""
    epoch: int
    """With `step`: the epoch of a training step, for its noise and augmentation."""
    step: int
    """The number of the training step in its epoch."""
    rank: int
    """With `epoch` and `step`, where several devices train a run: the number of the process."""
    data: str
    """The generated samples of a part, such as `train`."""
    clips: str
    """The choice of a user's clips for a part, such as `validation`."""
    probe: str
    """The start of a probe, or the choice of the samples that probes are fitted to."""
    study: str
    """The name of a study, for its search."""
    trial: int
    """The number of a trial, for its run and for the sampler that proposes it."""
    place: int
    """The number of a run among several of one trial."""
    final: int
    """The number of a final."""
    base: int
    """The number of a base run."""


def derive_seed(base: int, /, **axes: Unpack[Axes]) -> int:
    """Derives a seed from a base seed and named axes; the seed is equal in all processes.

    `derive_seed(7, trial=3)` differs from `derive_seed(7, final=3)`. The order of the axes does
    not matter.

    Args:
        base: the base seed.
        axes: values by the name of the axis, such as `epoch=3`.

    Returns:
        A non-negative integer of 63 bits.
    """
    text = json.dumps([base, sorted(axes.items())], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
