"""Tests stacked capsules against the textbook and known mistakes, and where gradients stop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.scae import SCAE, SCAEConfig
from models.textbook import scae
from models.variant import ImageShape
from tests.models.comparison import (
    GREY,
    equal_losses,
    evaluates,
    gradients,
    highest_rates,
    images,
    stays_finite,
)
from tests.narrowing import present

TWO = ImageShape(3, 24, 26, 5, labels=2)
SMALL: dict[str, Any] = {
    "canvas": 30,
    "part_capsules": 5,
    "part_features": 3,
    "template_size": 6,
    "encoder_channels": 6,
    "object_capsules": 4,
    "object_dims": 3,
    "object_hidden": 7,
    "upper_capsules": 3,
    "attention_layers": 1,
    "attention_dims": 4,
    "attention_out": 6,
}


def small(shape: ImageShape = GREY, **changes: Any) -> SCAE:
    return SCAE(shape=shape, config=SCAEConfig(**{**SMALL, **changes}))


@pytest.mark.parametrize("shape", [GREY, TWO])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"object_levels": 2, "presence_l1_weight": 0.3, "probe_weight": 0.5},
        {"target": "sobel", "alpha": False, "mse_weight": 2.0, "standardise": True},
        {"colour": False},
    ],
)
def test_loss_and_gradients_equal_the_textbook(shape: ImageShape, changes: dict[str, Any]) -> None:
    model = small(shape, **changes).double()
    oracle = scae.textbook(model)
    batch = images(shape, dtype=torch.float64)
    ours, theirs = equal_losses(model, oracle, batch)
    names = {
        name.removeprefix("network.").removeprefix("encoder.") if "network" in name else name: p
        for name, p in model.named_parameters()
    }
    others = dict(oracle.named_parameters())
    torch.testing.assert_close(
        gradients(ours, list(names.values())), gradients(theirs, [others[n] for n in names])
    )


def touched(model: SCAE, term: Tensor) -> set[str]:
    """Lists the parameters with respect to which a loss term has a gradient."""
    named = dict(model.named_parameters())
    found = torch.autograd.grad(term, list(named.values()), allow_unused=True, retain_graph=True)
    return {n for n, g in zip(named, found, strict=True) if g is not None and g.any()}


def test_objects_reach_parts_through_features_alone() -> None:
    model = small().double()
    terms, _ = model.loss(images(dtype=torch.float64))
    reached = touched(model, terms["parts"])
    assert "network.encoder.pooling.numbers.weight" in reached
    assert not any(name.startswith("network.decoder") for name in reached)
    weight = model.network.encoder.pooling.numbers.weight
    (gradient,) = torch.autograd.grad(terms["parts"], [weight], retain_graph=True)
    rows = gradient.view(5, 6 + 1 + 3, -1)
    assert not rows[:, :7].any(), "poses and presences have a gradient from the objects"
    assert rows[:, 7:].any()


def test_each_probe_reads_its_own_presences_and_teaches_nothing_else() -> None:
    """Guards against the prior's weights in the posterior's probe, and a double softmax."""
    model, batch = small(), images()
    terms, coded = model.loss(batch)
    for name, presences in (("prior", coded.prior), ("posterior", coded.code)):
        term, probe = terms[f"{name}_probe"], getattr(model, f"{name}_probe")
        assert touched(model, term) == {f"{name}_probe.weight", f"{name}_probe.bias"}
        scores = presences @ probe.weight.T + probe.bias
        expected = scores.logsumexp(1) - scores.gather(1, batch.y)[:, 0]
        torch.testing.assert_close(term, expected.mean())


def test_terms_and_weights_are_those_of_both_halves() -> None:
    model = small()
    terms, _ = model.loss(images())
    assert set(terms) == set(model.loss_weights)
    assert model.loss_weights["dynamic"] == 10
    assert small(presence_l1_weight=2.0).loss_weights["presence_l1"] == 2


def test_both_coefficients_of_the_rate() -> None:
    model = small(lr=0.01, decoder_lr=3.0, object_lr=0.5)
    others, decoder, objects = model.optimization().optimizer.param_groups
    assert (others["lr"], decoder["lr"], objects["lr"]) == (0.01, 0.03, 0.005)
    ids = [{id(p) for p in group["params"]} for group in (others, decoder, objects)]
    assert ids[1] == {id(p) for p in model.network.decoder.parameters()}
    assert ids[2] == {id(p) for p in model.objects.parameters()}
    assert set.union(*ids) == {id(p) for p in model.parameters()}
    assert sum(len(group) for group in ids) == len(list(model.parameters()))


def test_presence_l1_is_their_sum_in_an_image() -> None:
    model = small().eval()
    batch = images()
    parts = model.network.encode(model.network.views(batch.x).image)
    term = model.loss(batch)[0]["presence_l1"]
    torch.testing.assert_close(term, parts.presence.sum() / len(batch.x))


def test_codes_are_of_the_highest_level() -> None:
    batch = images()
    assert small()(batch.x).code.shape == (4, 4)
    coded = small(object_levels=2)(batch.x)
    assert coded.code.shape == coded.prior.shape == (4, 3)


def test_objects_read_templates_in_their_colours() -> None:
    """Checks that objects see the colours of parts, as in the authors' code."""
    model = small(TWO).eval()
    parts = model.network.encode(model.network.views(images(TWO).x).image)
    seen: list[Tensor] = []
    model.objects.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    model._objects(parts)
    colour = torch.sigmoid(present(model.network.decoder.colour)(parts.features))
    templates = model.network.decoder.template_logits.sigmoid()
    expected = templates.view(5, 1, 36) * colour.unsqueeze(-1)
    torch.testing.assert_close(seen[0], expected.flatten(2))
    plain = small(TWO, colour=False)
    assert plain.network.templates(parts).shape == (5, 3 * 36)


def test_pictures() -> None:
    with torch.inference_mode():
        pictures = small().eval().pictures(images())
    assert set(pictures) == {"parts", "templates", "transformed templates", "objects"}
    assert [len(row) for row in pictures["objects"]] == [4, 4, 4]


def test_the_recipe_is_the_authors() -> None:
    config = SCAEConfig()
    assert (config.lr, config.optimizer, config.scheduler) == (3e-5, "rmsprop", "constant")
    assert (config.canvas, config.part_capsules, config.object_capsules) == (40, 40, 32)
    model = small()
    groups = model.optimization().optimizer.param_groups
    trained = {id(p) for group in groups for p in group["params"]}
    assert trained == {id(p) for p in model.parameters()}


@pytest.mark.parametrize("resized", [False, True])
def test_evaluation_sees_images_on_the_canvas_of_training(resized: bool) -> None:
    """Guards against test images without the larger canvas of training."""
    sizes: dict[str, Any] = {"max_side": 20, "canvas": 22} if resized else {}
    model, batch = small(**sizes).eval(), images()
    x = F.interpolate(batch.x, (20, 20), mode="area") if resized else batch.x
    placed = F.pad(x, (1, 1, 1, 1))
    by_hand = model._objects(model.network.encode(placed))
    evaluates(model, batch, placed, by_hand)


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "optimizer"), [(0.01, "radam"), (65, "rmsprop"), (65, "sgd")])
def test_long_trainings_at_the_highest_rate_stay_finite(factor: float, optimizer: Any) -> None:
    """Guards against NaN: begins with heads far too small or too large; some images are blank."""
    shape = ImageShape(1, 12, 12, 10)
    model = small(shape, canvas=0, template_size=4, optimizer=optimizer, **highest_rates("scae"))
    with torch.no_grad():
        for parameter in model.network.encoder.pooling.parameters():
            parameter.mul_(factor)
        for parameter in model.objects.parameters():
            parameter.mul_(factor)
    batch, blank = images(shape, 8), images(shape, 8)
    blank.x.zero_()
    stays_finite(model, lambda step: blank if step % 10 == 0 else batch)
