"""Tests the constellation autoencoder: against its textbook version, for known mistakes, and its
points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.datasets.constellations import constellations
from models.ccae import CCAE, CCAEConfig, active_if_winning, draw_points, explain
from models.layers.drawing import draw_discs, hues
from models.layers.rmsprop import RMSProp
from models.textbook import ccae
from models.variant import Images, ImageShape, Points, PointShape
from tests.models.comparison import gradients, highest_rates, stays_finite, total_loss

SMALL: dict[str, Any] = {
    "attention_layers": 2,
    "attention_heads": 2,
    "attention_dims": 8,
    "attention_out": 6,
    "capsule_dims": 5,
    "hidden": 7,
    "noise": 0.0,
}
SHAPES = {"points": PointShape(11, 3), "images": ImageShape(2, 7, 9, 4)}


def small(shape: Any = SHAPES["points"], **changes: Any) -> CCAE:
    return CCAE(shape=shape, config=CCAEConfig(**{**SMALL, **changes}))


def batch(kind: str = "points", count: int = 6) -> Any:
    if kind == "images":
        x = torch.rand(count, 2, 7, 9, dtype=torch.float64)
        return Images(x, torch.zeros(count, 1).long())
    points, pattern = constellations(0, 0, np.arange(count))
    return Points(torch.from_numpy(points).double(), torch.from_numpy(pattern))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHAPES)
def test_long_trainings_at_the_highest_rate_stay_finite(kind: str) -> None:
    """Guards against NaN.

    Scales begin at both bounds, and some images are blank or some points absent.
    """
    model = small(SHAPES[kind], **highest_rates("ccae"), noise=2.0)
    with torch.no_grad():
        model.capsules.rest.bias[..., -4:-2] = -1e4
        model.capsules.rest.bias[..., -2:] = 1e4
    some, none = (type(b)(b[0].float(), b[1]) for b in (batch(kind), batch(kind)))
    if kind == "images":
        none.x.zero_()
    else:
        none.x[..., 2] = 0
    stays_finite(model, lambda step: none if step % 10 == 0 else some)


@pytest.mark.parametrize("kind", SHAPES)
def test_loss_and_gradients_equal_the_textbook(kind: str) -> None:
    model = small(SHAPES[kind]).double().eval()
    oracle, given = ccae.textbook(model), batch(kind)
    ours, theirs = total_loss(model, given), oracle.loss(given)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        gradients(ours, list(model.parameters())),
        gradients(theirs, list(oracle.parameters())),
        atol=1e-9,
        rtol=1e-6,
    )


def test_the_likelihood_is_one_mixture_of_all_votes_by_scipy() -> None:
    model, given = small().double().eval(), batch()
    points, presence = given.x[..., :2], given.x[..., 2]
    votes = model.capsules(model.encoder(model.embed(points), presence))
    found = explain(points, presence, votes)
    for b in range(len(points)):
        weight = votes.log_presence[:, b].exp().detach().numpy()
        scale = votes.scale[:, b].detach().numpy()
        centre = votes.pose[[2, 5], :, b].detach().numpy()
        likelihood, mass = 0.0, np.zeros(3)
        for n in range(11):
            density = scipy.stats.norm(centre, scale).pdf(points[b, n].numpy()[:, None, None])
            joint = weight * density.prod(0) / (weight.sum() + 0.01)
            evidence = joint.sum() + 0.01 * 0.01 / (weight.sum() + 0.01)
            likelihood += float(presence[b, n]) * np.log(evidence)
            mass += float(presence[b, n]) * joint.sum(1) / evidence
            assert found.winner[b, n] == joint.max(1).argmax()
        np.testing.assert_allclose(found.log_likelihood[b].item(), likelihood)
        np.testing.assert_allclose(found.posterior[b].detach().numpy(), mass, atol=1e-12)
        np.testing.assert_allclose(found.prior[b].detach().numpy(), weight.max(1))


def test_order_does_not_matter_and_absent_points_count_for_nothing() -> None:
    model, x = small().double().eval(), batch().x
    order = torch.randperm(11)
    first, second = model(x), model(x[:, order])
    torch.testing.assert_close(first.code, second.code)
    assert torch.equal(first.segments[:, order], second.segments)
    moved = x.clone()
    moved[..., :2] = torch.where(x[..., 2:] > 0, x[..., :2], 0.7)
    torch.testing.assert_close(model(moved).code, first.code)


def test_a_capsule_is_active_if_and_only_if_it_wins_more_than_one_point() -> None:
    """Checks three capsules.

    The first wins two points, the second one point, and the third only an absent point.
    """
    winner = torch.tensor([[0, 0, 1, 2]])
    presence = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    logit = torch.tensor([[0.3], [-0.4], [5.0]])
    expected = F.softplus(-logit[0, 0]) + F.softplus(logit[1, 0])
    torch.testing.assert_close(active_if_winning(winner, presence, logit), expected)


def test_the_recipe_is_the_authors() -> None:
    """Checks RMSProp with TensorFlow's numbers at a constant rate of 1e-4; guards against Adam."""
    recipe = small().optimization()
    (group,) = recipe.optimizer.param_groups
    assert type(recipe.optimizer) is RMSProp
    assert (group["lr"], group["decay"], group["momentum"]) == (1e-4, 0.9, 0.9)
    assert group["epsilon"] == pytest.approx((1 / 320) ** 2)
    assert recipe.scheduler is None


def test_points_are_drawn_where_the_image_is_bright() -> None:
    image = torch.zeros(1, 3, 8, 8)
    image[0, :, 2, 5] = 1
    for jitter in (True, False):
        points = draw_points(image, 5, jitter=jitter)
        expected = torch.tensor([11 / 8 - 1, 5 / 8 - 1]).expand(1, 5, 2)
        torch.testing.assert_close(points, expected)
    image[0, :, 6, 1] = 3
    counts = draw_points(image, 100, jitter=False)[0, :, 1].gt(0).sum()
    assert counts == 75


def test_points_of_a_blank_image_cover_it_and_are_finite() -> None:
    for value in (0.0, 1.0):
        points = draw_points(torch.full((2, 1, 8, 8), value), 64, jitter=False)
        assert len(torch.unique(points[0], dim=0)) > 60
        assert points.abs().max() < 1


def test_points_are_random_in_training_alone() -> None:
    model = small(SHAPES["images"])
    given = batch("images")
    given = Images(given.x.float(), given.y)
    assert not torch.equal(model(given.x).code, model(given.x).code)
    model.eval()
    assert torch.equal(model(given.x).code, model(given.x).code)


def drawn(x: Tensor, shape: Any) -> Tensor:
    rows = small(shape).eval().pictures(batch_of(x, shape))["constellations"]
    return torch.stack([torch.as_tensor(image).expand(3, -1, -1) for image in rows[1]])


def batch_of(x: Tensor, shape: Any) -> Any:
    if isinstance(shape, PointShape):
        return Points(x, torch.zeros(x.shape[:2]).long())
    return Images(x, torch.zeros(len(x), 1).long())


@pytest.mark.parametrize("kind", SHAPES)
def test_pictures_show_points_in_colours(kind: str) -> None:
    shown = drawn(batch(kind, 2).x.float(), SHAPES[kind])
    assert shown.shape == (2, 3, 64, 64)
    assert 0 <= shown.min() <= shown.max() == 1


def test_dots_lie_where_points_are_and_black_ones_are_not_drawn() -> None:
    points = torch.tensor([[[0.5, -0.5], [-0.5, 0.5]]])
    colours = torch.tensor([[[1.0, 0, 0], [0, 0, 0]]])
    shown = draw_discs(points, colours, ground=torch.full((1, 1, 16, 16), 0.25))
    assert shown[0, :, 4, 12].tolist() == [1, 0, 0]
    assert (shown[0, :, 11, 4] == 0.25).all()
    assert hues(3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
