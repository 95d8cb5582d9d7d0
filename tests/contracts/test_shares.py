"""Tests that two processes which share a batch have the gradients of the whole batch.

A loss term that is no mean over samples fails here, unless it reads the samples of all shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.runs.device_processes import further_processes
from benchmarks.runs.several_devices import FOREVER
from benchmarks.speed.timing import noise_batch
from models import registry
from models.baselines import CNNConfig
from models.layers.shared_norm import share_batch_norms
from models.layers.shares import WHOLE, Share, average_gradients, sharing
from tests.contracts.test_variants import MOVING, STILL, build

SHAPES: dict[str, Any] = {
    "classification": STILL["mnist"],
    "autoencoding": STILL["mnist"],
    "prediction": MOVING["grey"],
}
TRAINED = [name for name in registry.available() if registry.variant(name).has_optimization()]
BATCH = 6
NORMALISED = ("cnn", "autoencoder")
"""Variants with batch norm, which is compared in training. The others draw random numbers there,
and are compared in evaluation mode."""


def gradients(name: str, share: Share) -> dict[str, Tensor]:
    """Computes the gradients of the sum of all loss terms, averaged over all shares of a batch."""
    shape = SHAPES[registry.available()[name].task]
    model = build(name, shape)
    if name not in NORMALISED:
        model.eval()
    for module in model.modules():
        if isinstance(getattr(module, "config", None), CNNConfig):
            object.__setattr__(module.config, "shift", 0)
    torch.manual_seed(1)
    whole = noise_batch(shape, BATCH)
    batch = type(whole)(*(share.of(part) for part in whole))
    share_batch_norms(model)
    with sharing(share):
        torch.stack(list(model.loss(batch)[0].values())).sum().backward()
        if share.devices > 1:
            average_gradients(model.parameters())
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@dataclass(frozen=True)
class Second:
    """Computes the gradients of the second share of each variant."""

    port: int

    def __call__(self, rank: int, ready: Callable[[], None]) -> None:
        torch.set_num_threads(1)
        store = dist.TCPStore("127.0.0.1", self.port, 2, False, FOREVER)
        ready()
        connect(store, rank)
        for name in TRAINED:
            gradients(name, Share(rank, 2))


def connect(store: dist.Store, rank: int) -> None:
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=FOREVER)


def test_shares_have_the_gradients_of_the_whole_batch() -> None:
    store = dist.TCPStore("127.0.0.1", 0, 2, True, FOREVER, wait_for_workers=False)
    with further_processes(1, Second(store.port)) as others:
        others.await_ready()
        connect(store, 0)
        try:
            shared = {name: gradients(name, Share(0, 2)) for name in TRAINED}
        finally:
            dist.destroy_process_group()
    wrong = []
    for name in TRAINED:
        whole = gradients(name, WHOLE)
        assert shared[name].keys() == whole.keys()
        for part, grad in whole.items():
            close = 1e-3 * float(grad.abs().max()) + 1e-7
            if float((shared[name][part] - grad).abs().max()) > close:
                wrong.append(f"{name}: {part}")
    assert not wrong
