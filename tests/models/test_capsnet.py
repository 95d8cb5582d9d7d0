"""CapsNet, of the paper and of the notebook, whole: against the textbook, and known mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from einops import rearrange

from models.capsnet import CapsNet, CapsNetConfig, NotebookCapsNet, NotebookConfig
from models.layers.capsules import length
from models.variant import Images, ImageShape
from tests.models.comparison import gradients, total_loss
from tests.models.oracles import capsnet, capsnet_notebook

MNIST = ImageShape(1, 28, 28, 10)
SMALL: dict[str, Any] = {
    "conv_channels": 8,
    "primary_capsules": 3,
    "primary_dim": 4,
    "digit_dim": 5,
    "decoder_first": 12,
    "decoder_second": 16,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def small(shape: ImageShape = MNIST, **changes: Any) -> CapsNet:
    return CapsNet(shape=shape, config=CapsNetConfig(**{**SMALL, **changes}))


def images(shape: ImageShape, count: int = 3, dtype: torch.dtype = torch.float32) -> Images:
    x = torch.rand(count, shape.channels, shape.height, shape.width, dtype=dtype)
    y = torch.stack([torch.randperm(shape.classes)[: shape.labels] for _ in range(count)])
    return Images(x, y)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 8_215_568),
        ({"reconstruction": False}, 6_804_224),
        ({"digit_bias": True}, 8_215_728),
    ],
)
def test_parameter_counts(changes: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        for model in (
            CapsNet(shape=MNIST, config=CapsNetConfig(**changes)),
            NotebookCapsNet(shape=MNIST, config=NotebookConfig(**changes)),
        ):
            assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize("shape", [ImageShape(2, 29, 30, 6), ImageShape(1, 16, 14, 5, labels=2)])
@pytest.mark.parametrize("notebook", [False, True])
def test_forward_loss_and_gradients_equal_the_textbook(shape: ImageShape, notebook: bool) -> None:
    model = (
        NotebookCapsNet(shape=shape, config=NotebookConfig(**SMALL))
        if notebook
        else small(shape, shift=0)
    ).double()
    oracle = (capsnet_notebook if notebook else capsnet).textbook(model)
    batch = images(shape, dtype=torch.float64)
    torch.testing.assert_close(model(batch.x), oracle(batch.x))

    ours, theirs = total_loss(model, batch), oracle.loss(batch)
    torch.testing.assert_close(ours, theirs)
    decoder = list(model.network.decoder.parameters())
    primary = [p for layer in (model.network.primary,) for p in layer.parameters()]
    torch.testing.assert_close(
        gradients(total_loss(model, batch), [*primary, *decoder]),
        gradients(
            oracle.loss(batch),
            [
                *oracle.conv1.parameters(),
                *oracle.conv2.parameters(),
                *oracle.decoder.parameters(),
            ],
        ),
    )
    (weight,) = gradients(ours, [model.network.digits.weight])
    torch.testing.assert_close(oracle.type_first(weight), gradients(theirs, [oracle.W])[0])


def test_digit_biases_begin_at_zero_and_learn() -> None:
    torch.manual_seed(1)
    plain = small()
    torch.manual_seed(1)
    biased = small(digit_bias=True)
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(plain(x), biased(x))
    (gradient,) = gradients(total_loss(biased, images(MNIST)), [biased.network.digits.bias])
    assert gradient.abs().sum() > 0


def test_a_primary_capsule_is_the_channels_of_one_position() -> None:
    primary = small().network.primary
    x = torch.rand(2, 1, 28, 28)
    maps = primary.capsules(primary.features(x).relu())
    expected = capsnet.squash(rearrange(maps, "b (k p) y x -> b (y x k) p", p=4))
    torch.testing.assert_close(primary(x), expected)


def test_scores_are_lengths_without_softmax() -> None:
    model = small()
    x = torch.rand(2, 1, 28, 28)
    scores = model(x)
    torch.testing.assert_close(scores, length(model.network(x)))
    assert not torch.allclose(scores.sum(1), torch.ones(2), atol=0.05)


def test_votes_begin_small_and_lengths_begin_undecided() -> None:
    lengths = CapsNet(shape=MNIST, config=CapsNetConfig())(torch.rand(4, 1, 28, 28))
    assert ((lengths > 1e-3) & (lengths < 0.9)).all()
    weight = CapsNet(shape=MNIST, config=CapsNetConfig()).network.digits.weight
    assert weight.abs().max() <= 0.2
    assert weight.std().item() == pytest.approx(0.088, abs=0.002)


def test_the_notebooks_weights_are_standard_normal() -> None:
    model = NotebookCapsNet(shape=MNIST, config=NotebookConfig())
    assert model.network.digits.weight.std().item() == pytest.approx(1, abs=0.01)


def test_images_are_shifted_in_training_and_never_otherwise() -> None:
    model, batch = small(), images(MNIST, 8)
    first, second = (model.loss(batch)[1] for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model.loss(batch)[1], model(batch.x))
    state = torch.get_rng_state()
    model.loss(batch)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_decoder_sees_the_truth_in_training_and_the_prediction_otherwise() -> None:
    shape = ImageShape(1, 28, 28, 10, labels=2)
    model = small(shape, shift=0)
    seen: list[torch.Tensor] = []
    model.network.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    batch = images(shape, 2)
    scores = model.loss(batch)[1]
    wrong = Images(batch.x, scores.argsort(dim=1)[:, :2])
    model.loss(wrong)
    assert seen[-1].nonzero()[:, 1].view(2, 2).tolist() == wrong.y.sort(1).values.tolist()
    model.eval().loss(wrong)
    best = scores.topk(2).indices.sort(1).values
    assert seen[-1].nonzero()[:, 1].view(2, 2).tolist() == best.tolist()


def test_the_reconstruction_term_is_a_sum_over_pixels_and_the_notebooks_a_mean() -> None:
    batch = images(MNIST, 4)
    model = small(shift=0).eval()
    target, decoded = model.reconstruct(batch.x)
    assert torch.equal(target, batch.x)
    error = (decoded - target).square()
    term = model.loss(batch)[0]["reconstruction"]
    torch.testing.assert_close(term, error.sum() / 4)
    notebook = NotebookCapsNet(shape=MNIST, config=NotebookConfig(**SMALL))
    target, decoded = notebook.reconstruct(batch.x)
    term = notebook.loss(batch)[0]["reconstruction"]
    torch.testing.assert_close(term, (decoded - target).square().mean())


def test_without_decoder_nothing_is_reconstructed() -> None:
    model = small(reconstruction=False)
    assert model.reconstruct(torch.rand(2, 1, 28, 28)) is None
    assert set(model.loss(images(MNIST))[0]) == {"margin"}


def test_the_learning_rate_falls_by_its_factor_in_a_period() -> None:
    recipe = small(lr_decay=0.5, lr_decay_steps=4).optimization()
    for _ in range(8):
        recipe.optimizer.step()
        recipe.scheduler.step()
    assert recipe.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 4)
