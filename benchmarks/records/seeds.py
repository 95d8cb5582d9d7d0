"""Derives seeds from named axes, so that randomness does not depend on what ran before."""

from __future__ import annotations

import hashlib
import json
from typing import TypedDict, Unpack


class Axes(TypedDict, total=False):
    """Lists all axes; each kind of randomness has axes of its own."""

    init: int
    """Of a run: the first weights of the model; always 0."""
    order: int
    """Of a run: the order of the training samples in an epoch."""
    epoch: int
    """Of a run, with `step`: noise and augmentation in a training step."""
    step: int
    """The number of the training step in its epoch."""
    rank: int
    """Of a run on several devices, with `epoch` and `step`: the number of the process."""
    data: str
    """The generated samples of a part, such as `train`."""
    clips: str
    """The choice of a user's clips for a part, such as `validation`."""
    probe: str
    """Of a run: the start of a probe, or the choice of the samples that probes are fitted to."""
    study: str
    """Of a sweep: the search of a study."""
    trial: int
    """Of a sweep: the only run of a trial. Of a study: the sampler of a trial."""
    place: int
    """Of a sweep: one of several runs of a trial."""
    final: int
    """Of a sweep: a final."""
    base: int
    """Of a sweep: a base."""


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
