"""Tests the Capsule Transformer and each of its options, against textbook and known mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.capsule_transformer import (
    CapsuleTransformer,
    CapsuleTransformerConfig,
    RepeatPixels,
)
from models.layers.em_routing import EMRouting
from models.layers.frame_capsules import ObjectCapsules
from models.layers.images import channels_last
from models.textbook import capsule_transformer
from models.variant import Clips, ClipShape, Optimization
from tests.models.comparison import total_loss
from tests.narrowing import present

SMALL: dict[str, Any] = {
    "num_capsules": 3,
    "capsule_dim": 4,
    "num_heads": 2,
    "head_dim": 3,
    "hidden_dim": 6,
    "decoder_channels": 8,
    "object_capsules": 2,
    "object_dim": 3,
}
SHAPE = ClipShape(2, 16, 8, past=3, future=3)
OPTIONS: dict[str, dict[str, Any]] = {
    "faithful": {},
    "shared": {"projection": "shared"},
    "patches": {"patch_size": 2},
    "several frames a step": {"frames_per_step": 2},
    "routed": {"routing_iterations": 2},
    "routed and shared": {"routing_iterations": 3, "projection": "shared"},
    "routed by EM": {"routing_iterations": 3, "routing": "em"},
    "attention to all": {"attention": "all", "projection": "shared", "num_capsules": 2},
    "attention of routed objects to all": {
        "attention": "all",
        "projection": "shared",
        "routing_iterations": 1,
    },
    "resized": {"upsampling": "resized", "skip": True},
    "skip": {"skip": True},
    "latent": {"latent_dim": 2, "kl_weight": 0.3},
    "all": {
        "projection": "shared",
        "patch_size": 2,
        "frames_per_step": 2,
        "skip": True,
        "latent_dim": 3,
    },
}


def small(shape: ClipShape = SHAPE, **changes: Any) -> CapsuleTransformer:
    return CapsuleTransformer(shape=shape, config=CapsuleTransformerConfig(**{**SMALL, **changes}))


def clips(shape: ClipShape = SHAPE, count: int = 2, dtype: torch.dtype = torch.float32) -> Clips:
    frame = (shape.channels, shape.height, shape.width)
    past, future = (torch.rand(count, n, *frame, dtype=dtype) for n in (shape.past, shape.future))
    return Clips(past, future)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_frames_loss_and_gradients_equal_the_textbook(options: dict[str, Any]) -> None:
    model = small(**options).double().eval()
    oracle = capsule_transformer.textbook(model)
    batch = clips(dtype=torch.float64)
    torch.testing.assert_close(model(batch.past), oracle(batch.past))
    loss, theirs = total_loss(model, batch), oracle.loss(batch)
    torch.testing.assert_close(loss, theirs)
    expected = capsule_transformer.gradients_by_model_names(oracle, gradients(oracle, theirs))
    torch.testing.assert_close(gradients(model, loss), expected)


@pytest.mark.parametrize(
    ("shape", "changes", "count"),
    [
        (ClipShape(1, 32, 32, past=16, future=1), {}, 30_713_410),
        (ClipShape(1, 32, 32, past=16, future=10), {}, 30_713_410),
    ],
)
def test_parameter_counts(shape: ClipShape, changes: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        model = CapsuleTransformer(shape=shape, config=CapsuleTransformerConfig(**changes))
    assert sum(p.numel() for p in model.parameters()) == count


def test_shared_projections_cost_the_same_at_every_size() -> None:
    def count(side: int) -> int:
        shape = ClipShape(1, side, side, past=4, future=1)
        model = CapsuleTransformer(
            shape=shape, config=CapsuleTransformerConfig(projection="shared")
        )
        return sum(p.numel() for p in model.parameters())

    assert count(32) == count(64) < 500_000


def test_the_rollout_is_repeated_prediction_of_one_frame() -> None:
    batch = clips()
    single = small(SHAPE._replace(future=1)).eval()
    model = small().eval()
    model.load_state_dict(single.state_dict())
    window, expected = batch.past, []
    for _ in range(SHAPE.future):
        expected.append(single(window))
        window = torch.cat([window[:, 1:], expected[-1]], dim=1)
    torch.testing.assert_close(model(batch.past), torch.cat(expected, dim=1))


def test_a_rollout_longer_than_the_window_sees_its_own_frames_alone() -> None:
    """Checks steps that predict more frames than the window holds.

    The last predicted frames are then the next window.
    """
    shape = SHAPE._replace(past=2, future=7)
    model = small(shape, frames_per_step=3).eval()
    batch = clips(shape)
    frames = model(batch.past)
    torch.testing.assert_close(model(frames[:, 1:3])[:, :3], frames[:, 3:6])


def test_training_feeds_back_predictions_and_never_the_truth() -> None:
    model, batch = small(), clips()
    _, predicted = model.loss(batch)
    other = Clips(batch.past, torch.rand_like(batch.future))
    assert torch.equal(predicted, model.loss(other)[1])
    assert torch.equal(predicted, model(batch.past))
    # The last frame's error has a gradient with respect to the first step.
    past = batch.past.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(past)[:, -1].sum(), past)
    assert gradient[:, 0].abs().sum() > 0


def test_the_loss_is_taken_between_minus_one_and_one() -> None:
    """Checks that 256 times the mean over [−1, 1] at 32×32 is the sum over a frame in [0, 1].

    Guards against reporting one squared error as the other.
    """
    shape = ClipShape(1, 32, 32, past=2, future=1)
    model, batch = small(shape).eval(), clips(shape)
    terms, frames = model.loss(batch)
    scaled = ((2 * frames - 1) - (2 * batch.future - 1)).square().mean()
    torch.testing.assert_close(terms["mse"], scaled)
    summed = (frames - batch.future).square().sum(dim=(2, 3, 4)).mean()
    torch.testing.assert_close(256 * terms["mse"], summed)


def test_capsules_are_the_channels_of_one_position_squashed() -> None:
    """Guards against reshaping across positions; checks that no capsule is longer than 1."""
    model = small()
    frames = 100 * torch.randn(2, 2, 16, 8)
    found = model.capsules(frames)
    maps = model.capsules.features(frames)
    for y, x in ((0, 0), (3, 2), (7, 3)):
        expected = capsule_transformer.squash(maps[:, :, y, x].reshape(2, 3, 4))
        torch.testing.assert_close(found[:, y * 4 + x], expected)
    assert found.norm(dim=-1).max() <= 1


def test_the_frames_are_weighed_by_weights_that_sum_to_one() -> None:
    """Guards against a softmax over another axis than time."""
    block = small().transformer
    nn.init.zeros_(block.score.weight)
    seen: list[Tensor] = []
    block.norm_feed_forward.register_forward_hook(lambda _m, _i, output: seen.append(output))
    x = torch.randn(2, 3, 1, 8 * 4 * 12)
    torch.testing.assert_close(block(x), seen[0].mean(dim=1))


def test_positions_tell_the_order_of_frames() -> None:
    model = small(SHAPE._replace(future=1)).eval()
    past = clips().past
    assert not torch.allclose(model(past), model(past.flip(1)))
    nn.init.zeros_(model.transformer.positions)
    torch.testing.assert_close(model(past), model(past.flip(1)))


def test_object_capsules_know_where_their_parts_are() -> None:
    objects = ObjectCapsules(
        size=(2, 3), capsules=3, dims=4, objects=2, object_dims=3, iterations=2
    )
    capsules = torch.zeros(2, 6, 3, 4)
    capsules[0, 0], capsules[1, 5] = 1, 1
    one, two = objects(capsules)
    assert one.shape == (2, 3)
    assert not torch.allclose(one, two)
    assert "objects.coordinates" not in small(routing_iterations=2).state_dict()


def test_routing_iterations_are_no_parameters() -> None:
    batch = clips()
    one, three = (small(routing_iterations=n).eval() for n in (1, 3))
    three.load_state_dict(one.state_dict())
    assert not torch.allclose(one(batch.past), three(batch.past))


def test_em_routing_finds_the_votes_that_agree() -> None:
    """Of eight parts, six vote for one pose of the first object, and the others for none."""
    votes = torch.randn(1, 2, 8, 4)
    votes[0, 0, :6] = torch.tensor([1.0, -2.0, 0.5, 3.0]) + 0.01 * torch.randn(6, 4)
    routing = EMRouting(2, iterations=5)
    first, second = routing(votes, torch.ones(1, 8))[0]
    activation = first / torch.tensor([1.0, -2.0, 0.5, 3.0])
    torch.testing.assert_close(activation, activation.mean().expand(4), atol=0.02, rtol=0)
    assert activation.mean() > 0.5
    absent = torch.ones(1, 8)
    absent[0, :6] = 0  # parts that are not there do not count
    assert not torch.allclose(routing(votes, absent)[0, 0] / first, torch.ones(4), atol=0.1)
    assert second.shape == (4,)


def test_later_options_leave_the_specs_of_earlier_runs() -> None:
    names = {"routing", "upsampling", "attention"}
    assert not names & set(CapsuleTransformerConfig().model_dump())
    changed = CapsuleTransformerConfig(routing="em", upsampling="resized", attention="all")
    assert names <= set(changed.model_dump())


def test_repeated_pixels_are_squares() -> None:
    maps = torch.arange(4.0).view(1, 1, 2, 2)
    expected = [[0.0, 0.0, 1.0, 1.0]] * 2 + [[2.0, 2.0, 3.0, 3.0]] * 2
    assert RepeatPixels()(maps)[0, 0].tolist() == expected


def test_skip_connections_bring_the_last_frame_alone() -> None:
    model = small(SHAPE._replace(future=1), skip=True).eval()
    nn.init.zeros_(model.decoder.positions.weight)
    past = clips().past
    other = past.clone()
    other[:, :-1] = torch.rand_like(other[:, :-1])
    torch.testing.assert_close(model(past), model(other))
    assert not torch.allclose(model(past), model(past.flip(1)))


def test_dropout_is_drawn_in_training_alone() -> None:
    model, batch = small(dropout=0.5), clips()
    assert not torch.equal(model.loss(batch)[1], model.loss(batch)[1])
    model.eval()
    without = small()
    without.load_state_dict(model.state_dict())
    assert torch.equal(model(batch.past), without(batch.past))


def test_the_latent_is_drawn_in_training_and_is_its_mean_otherwise() -> None:
    model, batch = small(latent_dim=2), clips()
    assert not torch.equal(model.loss(batch)[1], model.loss(batch)[1])
    model.eval()
    assert torch.equal(model.loss(batch)[1], model(batch.past))
    assert set(model.loss(batch)[0]) == {"mse", "kl"}
    assert model.loss_weights == {"kl": 1e-3}


def test_the_latents_noise_has_its_deviation() -> None:
    decoder = small(latent_dim=1).decoder
    assert decoder.latent is not None
    nn.init.zeros_(decoder.latent.weight)
    decoder.latent.bias.data = torch.tensor([0.5, -1.0])
    drawn, _ = decoder.sample_latent(torch.zeros(20_000, 6))
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.02)
    assert drawn.std().item() == pytest.approx(torch.tensor(-0.5).exp().item(), abs=0.02)


def test_the_divergence_is_that_of_torchs_distributions() -> None:
    decoder = small(latent_dim=3).decoder.double()
    hidden = torch.randn(4, 6, dtype=torch.float64)
    mean, log_variance = present(decoder.latent)(hidden).chunk(2, dim=1)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum(dim=1).mean()
    torch.testing.assert_close(decoder.sample_latent(hidden)[1], expected)


@pytest.mark.parametrize("brightness", [0.5, 0.02])
def test_untrained_frames_are_as_bright_as_wished(brightness: float) -> None:
    model = small(initial_brightness=brightness)
    nn.init.zeros_(model.decoder.frames.weight)
    frames = model(clips().past)
    torch.testing.assert_close(frames, torch.full_like(frames, brightness))


def test_the_recipe_is_adam_with_both_ways_of_clipping() -> None:
    recipe = small(clip_norm=2.0, clip_value=0.5, weight_decay=0.1).optimization()
    assert (recipe.clip_norm, recipe.clip_value, recipe.scheduler) == (2.0, 0.5, None)
    assert recipe.optimizer.param_groups[0]["weight_decay"] == 0.1
    defaults = small().optimization()
    assert (defaults.clip_norm, defaults.clip_value) == (1.0, 1.0)
    assert defaults.optimizer.param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize(("norm", "value"), [(1.0, 1.0), (1.0, 0.4), (0.3, 0.4), (None, 0.4)])
def test_gradients_are_within_both_bounds(norm: float | None, value: float) -> None:
    """Checks that values are clipped too, unless the norm's bound implies their bound."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, -4.0]])
    Optimization(torch.optim.SGD(layer.parameters()), clip_norm=norm, clip_value=value).clip(layer)
    scale = 1.0 if norm is None else norm / 5
    expected = (scale * torch.tensor([[3.0, -4.0]])).clamp(-value, value)
    torch.testing.assert_close(layer.weight.grad, expected)


def test_without_weight_decay_adamw_is_adam() -> None:
    model, batch = small(), clips()
    other = small()
    other.load_state_dict(model.state_dict())
    adam = torch.optim.Adam(other.parameters(), lr=1e-4, fused=True)
    for network, optimizer in ((model, model.optimization().optimizer), (other, adam)):
        total_loss(network, batch).backward()
        optimizer.step()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("size", "patch"), [((10, 8), 1), ((16, 8), 4)])
def test_sides_must_be_multiples_of_four_patches(size: tuple[int, int], patch: int) -> None:
    with pytest.raises(ValueError, match=rf"{size[0]}×{size[1]}.*{4 * patch}"):
        small(ClipShape(1, *size, past=2, future=1), patch_size=patch)


def test_frames_are_within_zero_and_one() -> None:
    frames = small()(100 * torch.randn(2, 3, 2, 16, 8))
    assert frames.shape == (2, 3, 2, 16, 8)
    assert ((frames >= 0) & (frames <= 1)).all()


def test_pictures_are_the_last_two_inputs_the_truth_and_the_prediction() -> None:
    model, batch = small().eval(), clips()
    (rows,) = model.pictures(batch).values()
    expected = [batch.past[:, 1], batch.past[:, 2], batch.future[:, 0], model(batch.past)[:, 0]]
    for row, images in zip(rows, expected, strict=True):
        assert torch.equal(torch.stack([i for i in row if isinstance(i, Tensor)]), images)
    short = SHAPE._replace(past=1)
    assert len(small(short).eval().pictures(clips(short))["next_frames"]) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_is_said_by_the_strides(channels: int) -> None:
    x = torch.rand(2, channels, 4, 6)
    y = channels_last(x)
    assert torch.equal(x, y)
    assert y.stride() == (24 * channels, 1, 6 * channels, channels)
