"""Tests part capsules, with each option, against textbook, scipy and known mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Tensor

from models.layers.convolutions import MIN_CHANNELS
from models.layers.images import sobel
from models.layers.mixture import pixel_mixture
from models.layers.part_capsules import PartConfig
from models.layers.part_encoders import encoder
from models.layers.templates import deterministic_gradients, inverse, warp
from models.pcae import PCAE
from models.textbook import pcae
from models.variant import Images, ImageShape
from tests.models.comparison import (
    GREY,
    equal_losses,
    gradients,
    highest_rates,
    images,
    stays_finite,
    total_loss,
)
from tests.narrowing import present

COLOUR = ImageShape(3, 24, 26, 5)
SMALL: dict[str, Any] = {
    "part_capsules": 5,
    "part_features": 3,
    "template_size": 6,
    "encoder_channels": 6,
    "batch_size": 4,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "alpha": {"alpha": True},
    "canvas": {"canvas": 33},
    "standardised": {"canvas": 33, "standardise": True},
    "not inverted": {"invert": False},
    "similarities": {"part_dims": 4},
    "all losses": {
        "likelihood_weight": 0.5,
        "template_l1_weight": 2.0,
        "mse_weight": 3.0,
        "presence_within_weight": 0.7,
        "presence_between_weight": 0.3,
    },
    "residual": {"encoder": "residual"},
    "wide": {"encoder": "wide"},
    "many channels": {"encoder_channels": MIN_CHANNELS},
}


def small(shape: ImageShape = GREY, **changes: Any) -> PCAE:
    return PCAE(shape=shape, config=PartConfig(**{**SMALL, **changes}))


def parameters(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return dict(model.named_parameters())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    ("shape", "tint"),
    [(GREY, {}), (COLOUR, {}), (COLOUR, {"colour": True}), (COLOUR, {"target": "sobel"})],
)
def test_loss_and_gradients_equal_the_textbook(
    shape: ImageShape, tint: dict[str, Any], options: dict[str, Any]
) -> None:
    """Compares in training mode, with the same noise and places, drawn in the same order."""
    model = small(shape, **tint, **options).double()
    oracle = pcae.textbook(model)
    batch = images(shape, dtype=torch.float64)
    ours, theirs = equal_losses(model, oracle, batch)
    names = {
        name.removeprefix("network.").removeprefix("encoder."): p
        for name, p in model.named_parameters()
    }
    mine, other = list(names.values()), [parameters(oracle)[name] for name in names]
    torch.testing.assert_close(gradients(ours, mine), gradients(theirs, other))


def test_poses_are_the_activations_of_the_paper() -> None:
    """Guards against a ReLU after a head's last layer: half of these poses would never occur."""
    model = small(part_capsules=200).double()
    numbers = torch.randn(3, 200, 6, dtype=torch.float64)
    model.network.encoder.pooling.forward = lambda maps: torch.cat(  # type: ignore[method-assign]
        [numbers, torch.randn(3, 200, 4, dtype=torch.float64)], -1
    )
    parts = model.network.encode(images(dtype=torch.float64, count=3).x)
    matrix = pcae.pose_matrix(numbers)
    torch.testing.assert_close(parts.pose, matrix[..., :2, :].flatten(2))
    a, b, _, d, e, _ = parts.pose.unbind(-1)
    scales = (numbers[..., :2].sigmoid() + 0.01).prod(-1)
    torch.testing.assert_close(a * e - b * d, scales)


@pytest.mark.parametrize("kind", ["conv", "residual", "wide"])
def test_heads_are_linear_at_the_end(kind: str) -> None:
    """Checks that angles, translations and features have both signs; presences are below ½ too."""
    model = small(part_capsules=60, encoder=kind)
    with torch.no_grad():
        parts = model.network.encode(images().x)
    for numbers in (parts.pose[..., 2], parts.pose[..., 5], parts.features, parts.presence - 0.5):
        assert 0.1 < (numbers > 0).float().mean() < 0.9


@pytest.mark.parametrize("kind", ["conv", "residual", "wide"])
def test_parts_are_found_by_their_place(kind: Any) -> None:
    """Checks the learned bias that the authors add to the maps before the 1×1 convolution.

    There is one number per channel and position. Without it (a known mistake), convolutions cannot
    tell positions apart.
    """
    pooling = small(encoder=kind).network.encoder.pooling
    maps = encoder(kind, channels=1, width=6, side=28)(images().x)
    assert pooling.position.shape == maps.shape[1:]
    assert not pooling.position.any()
    blank = torch.zeros_like(maps[:1])
    before = pooling(blank)
    with torch.no_grad():
        pooling.position[:, 0, 1] = torch.randn(6)
    column = torch.cat([pooling.position[:, 0, 1:2], torch.zeros(6, 1)], 1)
    numbers = (pooling.numbers.weight @ column).view(5, -1, 2)
    attention = (pooling.attention.weight @ column)[:, None].exp()
    attention[..., 1] *= maps[0, 0].numel() - 1  # all other positions
    expected = (numbers * attention).sum(-1) / attention.sum(-1)
    torch.testing.assert_close(pooling(blank)[0] - before[0], expected)


def bilinear(template: np.ndarray, u: float, v: float) -> float:
    """Samples an image at column u and row v, in pixels from the first one's centre; 0 outside."""
    total = 0.0
    for i in range(template.shape[0]):
        for j in range(template.shape[1]):
            total += template[i, j] * max(0, 1 - abs(v - i)) * max(0, 1 - abs(u - j))
    return total


def test_templates_are_drawn_pixel_by_pixel_through_the_inverse_pose() -> None:
    templates = torch.rand(2, 1, 4, 5, dtype=torch.float64)
    pose = pcae.pose_matrix(torch.randn(3, 2, 6, dtype=torch.float64))[..., :2, :].flatten(2)
    drawn = warp(templates, inverse(pose), (6, 7))
    for b in range(3):
        for m in range(2):
            matrix = np.eye(3)
            matrix[:2] = pose[b, m].view(2, 3).numpy()
            for row in range(6):
                for column in range(7):
                    x, y = -1 + 2 * column / 6, -1 + 2 * row / 5
                    u, v, _ = np.linalg.solve(matrix, [x, y, 1])
                    value = bilinear(templates[m, 0].numpy(), (u + 1) / 2 * 4, (v + 1) / 2 * 3)
                    assert drawn[m, 0, b, row, column].item() == pytest.approx(value, abs=1e-12)


def test_a_smaller_scale_draws_a_smaller_template() -> None:
    """Guards against a pose that is not inverted: the template would cover more than the canvas."""
    pose = torch.tensor([0.5, 0, 0.4, 0, 0.5, -0.4]).view(1, 1, 6)
    drawn = warp(torch.ones(1, 1, 11, 11), inverse(pose), (41, 41))[0, 0, 0]
    assert drawn.mean().item() == pytest.approx(0.25, abs=0.06)
    rows, columns = (drawn > 0.5).nonzero(as_tuple=True)
    assert columns.float().mean().item() == pytest.approx(20 * 1.4, abs=0.5)
    assert rows.float().mean().item() == pytest.approx(20 * 0.6, abs=0.5)
    model, plain = small(), small(invert=False)
    plain.load_state_dict(model.state_dict())
    batch = images()
    covered = [
        (m.network.decode(m.network.encode(batch.x), batch.x).drawn > 0).float().mean()
        for m in (model, plain)
    ]
    assert covered[0] < 0.6 < 0.8 < covered[1]


def test_warps_gradient_is_that_of_finite_differences() -> None:
    """Checks templates in several slices too, and singular maps."""
    templates = torch.rand(9, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(2, 9, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t, m: warp(t, m, (4, 5)), (templates, maps))
    inverted = inverse(inverse(maps))
    torch.testing.assert_close(inverted, maps)
    singular = torch.tensor([1.0, 1, 0, 1, 1, 0], requires_grad=True)
    inverse(singular).sum().backward()
    assert singular.grad is not None
    assert singular.grad.isfinite().all()


def mixture_inputs(channels: int) -> dict[str, Tensor]:
    double: dict[str, Any] = {"dtype": torch.float64}
    return {
        "values": torch.rand(3, channels, 2, 4, 5, **double),
        "logits": torch.randn(3, 2, 4, 5, **double),
        "log_presence": torch.randn(2, 3, **double),
        "background": torch.rand(channels, **double),
        "background_logit": torch.randn((), **double),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mixture_is_scipys(channels: int) -> None:
    given = mixture_inputs(channels)
    image = torch.rand(2, channels, 4, 5, dtype=torch.float64)
    drawn = torch.cat([given["values"], given["logits"].unsqueeze(1)], 1)
    rest = {name: given[name] for name in list(given)[2:]}
    found = pixel_mixture(image, drawn, None, None, **rest)
    values, logits, log_presence = (given[k].numpy() for k in list(given)[:3])
    for b in range(2):
        total = 0.0
        for i in range(4):
            for j in range(5):
                logit = [*(logits[:, b, i, j] + log_presence[b]), given["background_logit"].item()]
                value = [*values[:, :, b, i, j], given["background"].numpy()]
                weight = np.array(logit) - logsumexp(logit)
                density = [norm.logpdf(image[b, :, i, j].numpy(), v, 1).sum() for v in value]
                evidence = logsumexp(weight + density)
                total += evidence
                mean = np.exp(weight) @ np.array(value)
                np.testing.assert_allclose(found.mean[b, :, i, j], mean)
                np.testing.assert_allclose(found.mixing[:, b, i, j], np.exp(weight)[:-1])
                np.testing.assert_allclose(
                    found.responsibility[:, b, i, j], np.exp(weight + density - evidence)[:-1]
                )
        assert found.log_likelihood[b].item() == pytest.approx(total)


@pytest.mark.parametrize(("channels", "coloured"), [(1, False), (3, False), (1, True), (3, True)])
@pytest.mark.parametrize("own_logits", [True, False])
def test_the_mixtures_gradient_is_that_of_finite_differences(
    channels: int, coloured: bool, own_logits: bool
) -> None:
    given = mixture_inputs(channels)
    image = torch.rand(2, channels, 4, 5, dtype=torch.float64)
    if coloured:
        given["values"] = given["values"][:, :1].clone()
    colour = torch.rand(2, 3, channels, dtype=torch.float64, requires_grad=coloured)
    if not own_logits:
        given["logits"] = torch.tensor(1.7, dtype=torch.float64)
    for tensor in given.values():
        tensor.requires_grad_()

    def mixture(
        colour: Tensor, values: Tensor, logits: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        drawn = torch.cat([values, logits.unsqueeze(1)], 1) if own_logits else values
        sharpness = None if own_logits else logits
        return pixel_mixture(image, drawn, colour if coloured else None, sharpness, *rest)[:2]

    arguments = (colour, *given.values())
    for outputs in (slice(0, 2), slice(0, 1), slice(1, 2)):
        assert torch.autograd.gradcheck(lambda *a, o=outputs: mixture(*a)[o], arguments)


def test_the_likelihood_is_finite_where_nothing_is_present_and_all_is_wrong() -> None:
    model = small()
    batch = Images(torch.ones(4, 1, 28, 28), torch.zeros(4, 1, dtype=torch.long))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e4)
    loss = total_loss(model, batch)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_noise_and_places_are_drawn_in_training_alone() -> None:
    """Guards against presence noise in evaluation, and test images without the canvas."""
    model, batch = small(canvas=40), images()
    first, second = (model.loss(batch)[1] for _ in range(2))
    assert not torch.equal(present(first.prior), present(second.prior))
    assert not torch.equal(present(first.target), present(second.target))
    model.eval()
    coded = model.loss(batch)[1]
    target = present(coded.target)
    assert torch.equal(present(coded.prior), model(batch.x).prior)
    assert target.shape == (4, 1, 40, 40) == present(first.target).shape
    assert torch.equal(target[..., 6:34, 6:34], batch.x)
    assert target.sum().item() == pytest.approx(batch.x.sum().item())
    assert small(canvas=20)(batch.x).target.shape == batch.x.shape


def test_larger_images_are_resized_and_smaller_ones_are_not() -> None:
    batch = images(ImageShape(1, 20, 12, 10))
    coded = small(ImageShape(1, 20, 12, 10), max_side=10, canvas=11)(batch.x)
    assert coded.target.shape == coded.reconstruction.shape == (4, 1, 11, 11)
    halved = small(ImageShape(1, 20, 10, 10), max_side=10)(batch.x[..., :10]).target
    means = batch.x.unflatten(2, (10, 2)).mean(3)[..., :10]  # means of two rows each
    torch.testing.assert_close(halved, means)
    untouched = small(ImageShape(1, 20, 12, 10), max_side=20)(batch.x).target
    assert torch.equal(untouched, batch.x)


def test_the_noise_is_uniform_on_presence_logits() -> None:
    model = small(part_capsules=40)
    x = images(count=64).x
    with torch.no_grad():
        clean, noisy = (model.network.encode(x, noisy=n).presence.logit() for n in (False, True))
    noise = noisy - clean
    assert noise.abs().max() <= 2 + 1e-4
    assert noise.std().item() == pytest.approx(4 / 12**0.5, rel=0.05)
    with torch.no_grad():
        quiet = small(presence_noise=0)
        parts = [quiet.network.encode(x, noisy=n).presence for n in (False, True)]
    torch.testing.assert_close(*parts)


def test_the_code_is_the_share_of_the_canvas_that_a_part_explains() -> None:
    model, batch = small(), images()
    coded = model(batch.x)
    decoded = model.network.decode(model.network.encode(batch.x), batch.x)
    torch.testing.assert_close(coded.code, decoded.responsibility.mean((2, 3)).T)
    assert (coded.code.sum(1) < 1).all()
    assert (coded.code >= 0).all()


def test_colours_paint_each_part_of_the_reconstruction() -> None:
    model, batch = small(), images()
    decoded = model.network.decode(model.network.encode(batch.x), batch.x)
    ground = decoded.reconstruction - (1 - decoded.mixing.sum(0)).unsqueeze(1) * torch.sigmoid(
        model.network.decoder.background
    ).view(1, -1, 1, 1)
    white = decoded.coloured(torch.ones(5, 3))
    torch.testing.assert_close(white, ground.expand(-1, 3, -1, -1))
    pictures = model.eval().pictures(batch)
    assert set(pictures) == {"parts", "templates", "transformed templates"}
    assert [len(row) for row in pictures["parts"]] == [4, 4, 4]
    assert sum(len(row) for row in pictures["templates"]) == 5


def sobel_by_hand(image: np.ndarray) -> np.ndarray:
    """Finds the edges of one channel (height, width) with TensorFlow's two filters.

    Pads by reflection, sums both derivatives, subtracts the authors' median (the lower of the two
    in the middle), takes the absolute value, and scales to [0, 1].
    """
    down = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    padded = np.pad(image, 1, mode="reflect")
    both = np.zeros_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            window = padded[row : row + 3, column : column + 3]
            both[row, column] = (window * down).sum() + (window * down.T).sum()
    edges = abs(both - np.sort(both, axis=None)[(both.size - 1) // 2])
    return (edges - edges.min()) / (edges.max() - edges.min() + 1e-8)


def test_edges_are_the_authors() -> None:
    x = torch.rand(2, 3, 8, 6, dtype=torch.float64)
    edges = sobel(x)
    for b in range(2):
        for c in range(3):
            np.testing.assert_allclose(edges[b, c], sobel_by_hand(x[b, c].numpy()), atol=1e-12)
    assert edges.amin((2, 3)).eq(0).all()
    torch.testing.assert_close(edges.amax((2, 3)), torch.ones(2, 3, dtype=torch.float64))


def test_a_step_has_edges_at_both_its_sides_and_a_blank_image_none() -> None:
    x = torch.zeros(2, 1, 8, 9)
    x[0, :, :, 4:] = 0.5
    expected = torch.zeros(8, 9)
    expected[:, 3:5] = 1
    torch.testing.assert_close(sobel(x)[0, 0], expected)
    assert not sobel(x)[1].any()


def test_the_edges_of_the_padding_are_none() -> None:
    model = small(canvas=40, target="sobel")
    views = model.network.views(torch.full((1, 1, 28, 28), 0.7))
    assert not views.target.any()
    assert views.image.max().item() == pytest.approx(0.7)


@pytest.mark.parametrize("changes", [{}, {"target": "sobel"}, {"max_side": 14}], ids=str)
def test_the_encoder_reads_standardised_images_and_the_decoder_explains_raw_ones(
    changes: dict[str, Any],
) -> None:
    """Checks that images are standardised before padding, so that the padding has their mean."""
    x = images().x
    raw, views = (
        small(canvas=33, standardise=on, **changes).network.views(x) for on in (False, True)
    )
    assert torch.equal(views.target, raw.target)
    left, side = (2, 28) if "max_side" not in changes else (9, 14)
    inside = views.image[..., left : left + side, left : left + side]
    own = raw.image[..., left : left + side, left : left + side]
    by_hand = own - own.mean((1, 2, 3), keepdim=True)
    by_hand = by_hand / (own.std((1, 2, 3), keepdim=True, correction=0) + 0.02)
    torch.testing.assert_close(inside, by_hand)
    padding = views.image.clone()
    padding[..., left : left + side, left : left + side] = 0
    assert not padding.any()


@pytest.mark.parametrize("changes", [{}, {"target": "sobel", "standardise": True}], ids=str)
def test_the_target_is_what_evaluation_scores(changes: dict[str, Any]) -> None:
    """Checks `target` in training mode too, since floors call it without noise or shift."""
    model, x = small(canvas=40, **changes), images().x
    assert torch.equal(model.target(x), model.eval()(x).target)
    assert torch.equal(model.train().target(x), model.target(x))
    assert model.target(x).shape == (4, 1, 40, 40)


def test_without_alpha_the_background_mixes_by_its_value_over_the_temperature() -> None:
    """Checks the authors' definition; with `alpha`, the background's logit is a parameter."""
    model = small(COLOUR, canvas=40)
    decoder = model.network.decoder
    assert decoder.background_logit is None
    with torch.no_grad():
        decoder.background.copy_(torch.tensor([-1.0, 0.5, 2.0]))
        present(decoder.temperature).fill_(0.3)
        views = model.network.views(images(COLOUR).x)
        decoded = model.network.decode(model.network.encode(views.image), views.target)
    nothing = (decoded.drawn == 0).all(0).all(0)  # every part has logit log presence there
    assert nothing.any()
    presence = model.network.encode(views.image).presence.sum(1)[:, None, None]
    temperature = torch.tensor(0.3 + 0.5).exp().log1p() + 1e-4
    own = (torch.tensor([-1.0, 0.5, 2.0]).sigmoid().mean() / temperature).exp()
    expected = (presence / (presence + own)).expand_as(nothing)
    torch.testing.assert_close(decoded.mixing.sum(0)[nothing], expected[nothing])
    assert small(alpha=True).network.decoder.background_logit is not None


def test_colours_ask_for_features() -> None:
    with pytest.raises(ValueError, match="part_features"):
        small(COLOUR, colour=True, part_features=0)
    assert small(part_features=0)(images().x).code.shape == (4, 5)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("kind", ["conv", "residual", "wide"])
def test_maps_have_their_channels_innermost(shape: ImageShape, kind: str) -> None:
    """Guards against the ambiguous layout of grey images.

    A tensor with one channel has both layouts at once; convolutions chose the slow one.
    """
    encoder = small(shape, encoder=kind).network.encoder
    maps: list[Tensor] = []
    for layer in encoder.features.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda *given: maps.append(given[2]))
    encoder(images(shape).x)
    assert len(maps) >= 3
    assert all(found.stride(1) == 1 for found in maps)


@pytest.mark.parametrize("kind", ["conv", "residual", "wide"])
@pytest.mark.parametrize("side", [12, 16, 23, 28, 40])
def test_encoders_leave_something_of_small_images(kind: Any, side: int) -> None:
    maps = encoder(kind, channels=1, width=4, side=side)(torch.rand(2, 1, side, side))
    assert maps.shape[1] == 4
    assert min(maps.shape[2:]) >= 1
    if kind == "conv" and side == 40:
        assert maps.shape[2:] == (5, 5)


@pytest.mark.parametrize("name", ["sgd", "radam", "rmsprop"])
def test_optimisers_and_the_decoders_coefficient(name: str) -> None:
    model = small(optimizer=name, lr=0.01, decoder_lr=0.5, scheduler="constant", weight_decay=0.1)
    recipe = model.optimization()
    assert type(recipe.optimizer).__name__.lower() == name
    rates = [group["lr"] for group in recipe.optimizer.param_groups]
    assert rates == [0.01, 0.005]
    assert all(group["weight_decay"] == 0.1 for group in recipe.optimizer.param_groups)
    ids = [{id(p) for p in group["params"]} for group in recipe.optimizer.param_groups]
    assert ids[1] == {id(p) for p in model.network.decoder.parameters()}
    assert ids[0] | ids[1] == {id(p) for p in model.parameters()}
    assert recipe.scheduler is None
    before = total_loss(model.eval(), batch := images())
    before.backward()
    recipe.optimizer.step()
    assert not torch.equal(total_loss(model, batch), before)


def test_schedules_count_training_steps() -> None:
    falling = small(lr_decay=0.5, lr_decay_steps=4, scheduler="exp").optimization()
    cosine = small(restart_steps=6, scheduler="cosrestarts").optimization()
    rates = []
    for _ in range(8):
        for recipe in (falling, cosine):
            recipe.optimizer.step()
            present(recipe.scheduler).step()
        rates.append(cosine.optimizer.param_groups[0]["lr"])
    assert falling.optimizer.param_groups[0]["lr"] == pytest.approx(3e-3 / 4)
    assert rates[2] == pytest.approx(3e-3 / 2)
    assert rates[5] == pytest.approx(3e-3)
    assert min(rates) < 3e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factor", "optimizer"), [(0.01, "radam"), (100, "rmsprop"), (0.01, "sgd"), (100, "sgd")]
)
def test_long_trainings_at_the_highest_rate_stay_finite(factor: float, optimizer: str) -> None:
    """Begins with heads far too small or too large, at the highest rate of the search space."""
    shape = ImageShape(1, 12, 12, 10)
    changes = {"part_capsules": 3, "template_size": 4, "encoder_channels": 4, "batch_size": 8}
    model = small(
        shape, **changes, optimizer=optimizer, **highest_rates("pcae"), scheduler="constant"
    )
    with torch.no_grad():
        for parameter in model.network.encoder.pooling.parameters():
            parameter.mul_(factor)
    batch = images(shape, 8)
    stays_finite(model, lambda _: batch)


def test_default_size() -> None:
    assert sum(p.numel() for p in PCAE(shape=GREY, config=PartConfig()).parameters()) == 496_018


def test_a_gpus_gradients_of_templates_and_points_equal_a_processors() -> None:
    """Checks points between pixels, on a pixel, on the border, and outside."""
    templates = torch.rand(5, 2, 7, 9, dtype=torch.float64)
    grid = torch.rand(5, 6, 8, 2, dtype=torch.float64) * 3 - 1.5
    grid[0, 0, :4] = torch.tensor([[0, 0], [-1, -1], [1, 1], [1, -1]], dtype=torch.float64)
    grad = torch.rand(5, 2, 6, 8, dtype=torch.float64)
    theirs = torch.ops.aten.grid_sampler_2d_backward(
        grad, templates, grid, 0, 0, True, [True, True]
    )
    torch.testing.assert_close(deterministic_gradients(grad, templates, grid), theirs)
