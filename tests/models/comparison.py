"""A variant beside its textbook version: same loss, and the same steps from the same gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from models.layers.object_capsules import Objects
from models.variant import Images, Variant


def total_loss(model: Variant, batch: Any) -> Tensor:
    """The weighted sum that a task minimises."""
    terms, _ = model.loss(batch)
    return model.total(terms)


def gradients(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parameters))


def highest_rates(variant: str) -> dict[str, float]:
    """The highest learning rate of a variant's search space, and the highest coefficients of it."""
    path = Path(__file__).parents[2] / "sweeps" / "spaces" / f"{variant}.yaml"
    search = yaml.safe_load(path.read_text(encoding="utf-8"))["search"]
    return {name: entry["high"] for name, entry in search.items() if name.endswith("lr")}


def stays_finite(model: Variant, batch: Callable[[int], Any], steps: int = 2000) -> None:
    """Trains on a batch a step, clipped as the model's recipe says, which it must."""
    recipe = model.optimization()
    assert recipe.clip_norm is not None
    for step in range(steps):
        recipe.optimizer.zero_grad()
        loss = total_loss(model, batch(step))
        loss.backward()
        recipe.clip(model)
        recipe.optimizer.step()
    assert loss.isfinite()
    assert all(p.isfinite().all() for p in model.parameters())


def evaluates(model: Variant, batch: Images, placed: Tensor, by_hand: Objects) -> None:
    """In evaluation, all that the model tells of images is of these objects, found in `placed`."""
    told, shown, coded = model.loss(batch)[1], model(batch.x), model.encode(batch.x)
    for found in (told, shown, coded):
        assert torch.equal(found.code, by_hand.posterior)
        assert torch.equal(found.prior, by_hand.prior)
    for found in (told, shown):
        assert torch.equal(found.target, placed)
