"""Tests Set Transformer and object capsules against loops, scipy and known mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from models.layers.affine import affine, compose
from models.layers.object_capsules import (
    ObjectAutoencoder,
    ObjectConfig,
    object_loss_weights,
)
from models.layers.parts import Parts
from models.layers.rmsprop import RMSProp
from models.layers.set_transformer import SetTransformer
from models.layers.sparsity import entropy, posterior_sparsity, prior_sparsity
from models.textbook import object_capsules as oracle
from models.textbook.ocae import explain
from tests.models.comparison import gradients

SMALL: dict[str, Any] = {
    "object_capsules": 4,
    "object_dims": 5,
    "object_hidden": 6,
    "upper_capsules": 3,
    "attention_layers": 2,
    "attention_heads": 2,
    "attention_dims": 8,
    "attention_out": 10,
    "object_noise": 0.0,
}


def network(*, templates: int = 9, features: int = 3, **changes: Any) -> ObjectAutoencoder:
    config = ObjectConfig(**{**SMALL, **changes})
    return ObjectAutoencoder(
        parts=7, features=features, templates=templates, classes=3, config=config
    )


def parts(batch: int = 5, features: int = 3, dtype: torch.dtype = torch.float32) -> Parts:
    return Parts(
        torch.randn(batch, 7, 6, dtype=dtype),
        torch.rand(batch, 7, dtype=dtype),
        torch.randn(batch, 7, features, dtype=dtype, requires_grad=True),
    )


def total(terms: dict[str, Tensor]) -> Tensor:
    weights = object_loss_weights(ObjectConfig(object_levels=3))
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


@pytest.mark.parametrize(("heads", "layer_norm"), [(1, True), (2, False)])
def test_set_transformer_equals_loops_over_heads(heads: int, layer_norm: bool) -> None:
    ours = SetTransformer(
        layers=2, heads=heads, dims=6, seeds=3, out=10, layer_norm=layer_norm
    ).double()
    x, presence = torch.randn(4, 5, 6).double(), torch.rand(4, 5).double()
    expected = oracle.set_transformer(ours, x, presence)
    torch.testing.assert_close(ours(x, presence), expected)
    parameters = list(ours.parameters())
    torch.testing.assert_close(
        gradients(ours(x, presence).square().sum(), parameters),
        gradients(expected.square().sum(), parameters),
        atol=1e-9,
        rtol=1e-7,
    )
    torch.testing.assert_close(ours(x), ours(x, torch.ones_like(presence)))


def test_absent_members_are_not_seen_and_order_does_not_matter() -> None:
    ours = SetTransformer(layers=2, heads=2, dims=6, seeds=3, out=10)
    x, presence = torch.randn(2, 5, 6), torch.tensor([1.0, 1, 0, 1, 0]).expand(2, -1)
    other = x.clone()
    other[:, [2, 4]] = 100.0
    torch.testing.assert_close(ours(x, presence), ours(other, presence))
    torch.testing.assert_close(ours(x, presence), ours(x[:, [0, 1, 3]]))
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(ours(x[:, order], presence[:, order]), ours(x, presence))
    assert ours(x, torch.zeros(2, 5)).isfinite().all()


def test_heads_divide_the_dimensions() -> None:
    with pytest.raises(ValueError, match="divisor"):
        SetTransformer(layers=1, heads=3, dims=6, seeds=2, out=10)


@pytest.mark.parametrize("similarity", [False, True])
def test_maps_are_the_authors_and_compose_as_matrices(similarity: bool) -> None:
    one, two = torch.randn(2, 4, 6).double()
    ours = torch.stack(
        compose(
            affine(one.unbind(-1), similarity=similarity),
            affine(two.unbind(-1), similarity=similarity),
        ),
        -1,
    )
    product = oracle.matrices(one, similarity) @ oracle.matrices(two, similarity)
    torch.testing.assert_close(ours.unflatten(-1, (2, 3)), product[:, :2])
    if similarity:
        linear = product[:, :2, :2]
        squared = linear @ linear.transpose(1, 2)
        torch.testing.assert_close(squared, squared[:, :1, :1] * torch.eye(2).double())


def test_the_parts_likelihood_is_a_mixture_by_scipy() -> None:
    """Checks the likelihood with unnormalised weights a_k a_km and a dummy component.

    The dummy has presence and density 0.01. Each part's log-likelihood is multiplied by its
    presence.
    """
    ours, given = network().double(), parts(dtype=torch.float64)
    templates = torch.rand(7, 9).double()
    seen: list[Any] = []
    ours.capsules.register_forward_hook(lambda *hook: seen.append(hook[2]))
    found = ours(given, templates)
    votes = seen[0]
    centre = votes.pose.detach().permute(1, 2, 3, 0).numpy()
    density = scipy.stats.norm.pdf(
        given.pose.numpy(), centre, votes.scale.detach()[..., None].numpy()
    ).prod(-1)
    joint = votes.log_presence.detach().exp().numpy() * density
    evidence = joint.sum(0) + 0.01 * 0.01
    expected = (given.presence.numpy() * np.log(evidence)).sum(1)
    np.testing.assert_allclose(found.log_likelihood.detach().numpy(), expected)
    np.testing.assert_allclose(
        found.posterior.detach().numpy(), (joint / evidence).sum(2).T, rtol=1e-6
    )
    assert (found.winner.numpy() == joint.argmax(0)).all()
    b, m = 2, 3
    winner = int(found.winner[b, m])
    np.testing.assert_allclose(found.explained.pose[b, m].detach().numpy(), centre[winner, b, m])
    presences = votes.log_presence.detach().exp().numpy()
    np.testing.assert_allclose(found.prior.detach().numpy(), presences.max(2).T)


@pytest.mark.parametrize(("templates", "features"), [(9, 3), (0, 0)])
@pytest.mark.parametrize("levels", [1, 3])
def test_terms_and_gradients_equal_the_textbook(levels: int, templates: int, features: int) -> None:
    ours = network(templates=templates, features=features, object_levels=levels).double()
    given = parts(features=features, dtype=torch.float64)
    drawn = torch.rand(7, templates).double() if templates else None
    found, expected = ours(given, drawn).terms, explain(ours, given, drawn).terms
    torch.testing.assert_close(found, expected)
    wanted = [*ours.parameters(), *([given.features] if features else [])]
    torch.testing.assert_close(
        gradients(total(found), wanted), gradients(total(expected), wanted), atol=1e-9, rtol=1e-6
    )


def test_entropies_are_scipys_and_their_signs_the_papers() -> None:
    """Checks +H within an example (few capsules), and −H over the batch (all capsules)."""
    mass = torch.rand(5, 4).double()
    shares = (mass / mass.sum(1, keepdim=True)).numpy()
    terms = posterior_sparsity(mass)
    assert terms["posterior_within"].item() == pytest.approx(
        np.mean([scipy.stats.entropy(row) for row in shares])
    )
    assert terms["posterior_between"].item() == pytest.approx(
        -scipy.stats.entropy(mass.sum(0).numpy())
    )
    one_each, one_for_all = torch.eye(4), torch.zeros(4, 4)
    one_for_all[:, 0] = 1
    good, bad = posterior_sparsity(one_each), posterior_sparsity(one_for_all)
    assert good["posterior_within"] < posterior_sparsity(torch.ones(4, 4))["posterior_within"]
    assert good["posterior_between"] < bad["posterior_between"]


def test_entropy_is_finite_where_no_mass_is() -> None:
    mass = torch.zeros(2, 3, requires_grad=True)
    entropy(mass).sum().backward()
    assert mass.grad is not None
    assert mass.grad.isfinite().all()


def test_prior_sparsity_is_zero_where_each_class_has_its_capsules() -> None:
    terms = prior_sparsity(torch.eye(3).repeat(2, 2), classes=3)  # 6 examples, 6 capsules
    assert all(term == 0 for term in terms.values())
    silent = prior_sparsity(torch.zeros(6, 6), classes=3)
    assert silent["prior_within"] == 4
    assert silent["prior_between"] == 4


def test_gradients_stop_at_poses_presences_and_templates_but_not_at_features() -> None:
    ours = network(object_levels=2)
    given, templates = parts(), torch.rand(7, 9, requires_grad=True)
    given = given._replace(
        pose=given.pose.requires_grad_(), presence=given.presence.requires_grad_()
    )
    total(ours(given, templates).terms).backward()
    assert given.pose.grad is given.presence.grad is templates.grad is None
    assert given.features.grad is not None
    assert given.features.grad.abs().sum() > 0


def test_long_training_stays_finite() -> None:
    """Guards against NaN.

    Trains 2,000 steps at the highest rate of the search space, with scales that begin at both
    bounds.
    """
    config = ObjectConfig(**{**SMALL, "object_noise": 2.0, "attention_layers": 1})
    ours = ObjectAutoencoder(parts=7, features=3, templates=9, classes=3, config=config)
    with torch.no_grad():
        ours.capsules.rest.bias[..., -7:-4] = -1e4
        ours.capsules.rest.bias[..., -4:] = 1e4
    optimizer = RMSProp(ours.parameters(), lr=1e-2, momentum=0.9, epsilon=1e-6)
    templates = torch.rand(7, 9)
    for step in range(2000):
        given = parts()
        if step % 10 == 0:  # no part is present, and all are at one place
            given = given._replace(presence=torch.zeros(5, 7), pose=torch.zeros(5, 7, 6))
        found = ours(given, templates)
        optimizer.zero_grad()
        total(found.terms).backward()
        torch.nn.utils.clip_grad_norm_(ours.parameters(), 1e4)
        optimizer.step()
    assert total(found.terms).isfinite()
    assert all(p.isfinite().all() for p in ours.parameters())


def test_further_levels_give_the_code_and_the_winners() -> None:
    ours = network(object_levels=2).eval()
    found = ours(parts(), torch.rand(7, 9))
    assert found.prior.shape == found.posterior.shape == (5, 3)
    assert found.winner.shape == (5, 7)
    assert found.winner.max() < 3
    assert found.explained.pose.shape == (5, 7, 6)
