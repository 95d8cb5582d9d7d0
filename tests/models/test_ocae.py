"""Tests the object autoencoder over a frozen part autoencoder, against the textbook."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.ocae import OCAE, OCAEConfig
from models.pcae import PCAE
from models.textbook import ocae
from models.variant import Images, ImageShape
from tests.models.comparison import evaluates, gradients, highest_rates, stays_finite, total_loss
from tests.models.test_object_capsules import SMALL

SHAPE = ImageShape(1, 16, 16, 4)
PARTS: dict[str, Any] = {
    "part_capsules": 5,
    "part_features": 3,
    "template_size": 5,
    "encoder_channels": 8,
}


def small(base: dict[str, Any] | None = None, **changes: Any) -> OCAE:
    parts = PCAE(shape=SHAPE, config=PCAE.Config(**{**PARTS, **(base or {})}))
    return OCAE(shape=SHAPE, config=OCAEConfig(**{**SMALL, **changes}), base=parts)


def images(count: int = 3, dtype: torch.dtype = torch.float32) -> Images:
    return Images(torch.rand(count, 1, 16, 16, dtype=dtype), torch.zeros(count, 1).long())


@pytest.mark.parametrize("base", [{}, {"colour": True}, {"standardise": True}], ids=str)
@pytest.mark.parametrize("levels", [1, 2])
def test_loss_and_gradients_equal_the_textbook(levels: int, base: dict[str, Any]) -> None:
    model = small(base, object_levels=levels).double()
    oracle = ocae.textbook(model)
    batch = images(dtype=torch.float64)
    ours, theirs = total_loss(model, batch), oracle.loss(batch)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        gradients(ours, list(model.network.parameters())),
        gradients(theirs, list(oracle.parameters())),
        atol=1e-9,
        rtol=1e-6,
    )


@pytest.mark.parametrize("base", [{}, {"canvas": 20, "target": "sobel"}], ids=str)
def test_the_target_is_what_evaluation_scores(base: dict[str, Any]) -> None:
    model, x = small(base), images().x
    assert torch.equal(model.target(x), model.eval()(x).target)


def test_the_base_stays_frozen_and_in_evaluation_mode() -> None:
    model = small().train()
    assert not any(module.training for module in model.base.modules())
    assert model.network.training
    total_loss(model, images()).backward()
    assert all(p.grad is None for p in model.base.parameters())
    optimised = {id(p) for g in model.optimization().optimizer.param_groups for p in g["params"]}
    assert optimised == {id(p) for p in model.network.parameters()}


def test_what_is_scored_is_drawn_from_the_objects_votes() -> None:
    model, x = small().eval(), images().x
    part_network = model.base.network
    views = part_network.views(x)
    parts = part_network.encode(views.image)
    objects = model.network(parts, part_network.decoder.templates.flatten(1))
    own = part_network.decode(parts, views.target)
    drawn = part_network.decode(objects.explained, views.target)
    coded = model(x)
    assert torch.equal(coded.reconstruction, drawn.reconstruction)
    assert torch.equal(coded.log_likelihood, drawn.log_likelihood)
    assert not torch.equal(coded.reconstruction, own.reconstruction)
    assert torch.equal(objects.explained.presence, parts.presence)


@pytest.mark.parametrize("side", [16, 12])
def test_evaluation_sees_images_on_the_canvas_of_the_base(side: int) -> None:
    """Guards against test images without a canvas, or at random places as in training."""
    model, batch = small(base={"max_side": side, "canvas": side + 4}).eval(), images()
    placed = F.pad(F.interpolate(batch.x, (side, side), mode="area"), (2, 2, 2, 2))
    parts = model.base.network.encode(placed)
    by_hand = model.network(parts, model.base.network.decoder.templates.flatten(1))
    evaluates(model, batch, placed, by_hand)


def test_the_defaults_are_a_rate_that_their_optimiser_survives() -> None:
    assert (OCAEConfig().optimizer, OCAEConfig().lr) == ("rmsprop", 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "lr"), [("radam", None), ("rmsprop", None), ("sgd", 0.1)], ids=str
)
def test_long_trainings_stay_finite(optimizer: Any, lr: float | None) -> None:
    """Guards against NaN.

    Trains at the highest rate of the search space, and at the rate of 0.1 of users' configuration
    files with their optimiser. Scales begin at both bounds, and some images are blank.
    """
    model = small(optimizer=optimizer, lr=lr or highest_rates("ocae")["lr"], object_noise=2.0)
    with torch.no_grad():
        model.network.capsules.rest.bias[..., -5:-3] = -1e4
        model.network.capsules.rest.bias[..., -3:] = 1e4
    batch, blank = images(), images()
    blank.x.zero_()
    stays_finite(model, lambda step: blank if step % 10 == 0 else batch)


def test_training_draws_no_reconstruction() -> None:
    model = small()
    assert model.loss(images())[1].reconstruction is None
    assert model.eval().loss(images())[1].reconstruction is not None


def test_pictures_show_target_base_objects_and_colours() -> None:
    with torch.inference_mode():
        drawn = small().eval().pictures(images())["objects"]
    rows = [[image for image in row if isinstance(image, Tensor)] for row in drawn]
    assert [row[0].shape[0] for row in rows] == [1, 1, 1, 3]
    coloured = torch.stack(rows[3])
    assert 0 <= coloured.min() <= coloured.max() <= 1
    assert (coloured.amax(1) - coloured.amin(1)).max() > 0.01


@pytest.mark.parametrize("optimizer", ["sgd", "radam", "rmsprop"])
@pytest.mark.parametrize("scheduler", ["constant", "exp", "cosrestarts"])
def test_each_recipe_takes_a_step(optimizer: Any, scheduler: Any) -> None:
    model = small(optimizer=optimizer, scheduler=scheduler)
    before = [p.detach().clone() for p in model.network.parameters()]
    recipe = model.optimization()
    total_loss(model, images()).backward()
    recipe.optimizer.step()
    assert (recipe.scheduler is None) == (scheduler == "constant")
    after = model.network.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
