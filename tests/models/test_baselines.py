"""Tests the classification and prediction baselines."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.baselines import CNN, CNNConfig, CopyLast, Linear, LinearConfig
from models.variant import Clips, ClipShape, Images, ImageShape
from tests.narrowing import present


def test_linear_is_a_matrix_and_a_bias() -> None:
    model = Linear(shape=ImageShape(3, 32, 32, 10), config=LinearConfig())
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model(x), F.linear(x.view(2, -1), *model.parameters()))


def test_linear_sees_photographs_standardised_by_preset() -> None:
    assert set(Linear.presets) == {"svhn", "cifar10"}
    config = LinearConfig(**Linear.presets["svhn"])
    model = Linear(shape=ImageShape(3, 8, 8, 10), config=config)
    x = torch.rand(2, 3, 8, 8)
    centred = x - x.mean((1, 2, 3), keepdim=True)
    expected = centred / (x.std((1, 2, 3), keepdim=True, correction=0) + 0.02)
    torch.testing.assert_close(model(x), model.layer(expected.flatten(1)))


def test_the_cnns_rate_follows_the_shared_schedule() -> None:
    config = CNNConfig(width=4, lr=0.5, restart_steps=2)
    recipe = CNN(shape=ImageShape(1, 28, 28, 10), config=config).optimization()
    recipe.optimizer.step()
    present(recipe.scheduler).step()
    assert recipe.optimizer.param_groups[0]["lr"] == pytest.approx(0.25)


def test_two_labels_share_the_cross_entropy() -> None:
    model = Linear(shape=ImageShape(1, 8, 8, 5, labels=2), config=LinearConfig())
    x, y = torch.rand(3, 1, 8, 8), torch.tensor([[0, 1], [2, 3], [4, 4]])
    terms, scores = model.loss(Images(x, y))
    expected = (F.cross_entropy(scores, y[:, 0]) + F.cross_entropy(scores, y[:, 1])) / 2
    torch.testing.assert_close(terms["cross_entropy"], expected)


def test_the_cnn_shifts_in_training_alone() -> None:
    torch.manual_seed(0)
    model = CNN(shape=ImageShape(1, 28, 28, 10), config=CNNConfig(width=4))
    batch = Images(torch.rand(4, 1, 28, 28), torch.zeros(4, 1, dtype=torch.int64))
    assert not torch.equal(model.loss(batch)[1], model.loss(batch)[1])
    model.eval()
    assert torch.equal(model.loss(batch)[1], model(batch.x))


def test_the_cnns_scores_are_logits() -> None:
    """Guards against a softmax before the cross-entropy, which only slows training down."""
    torch.manual_seed(0)
    model = CNN(shape=ImageShape(1, 28, 28, 10), config=CNNConfig(width=4)).eval()
    x, y = torch.rand(4, 1, 28, 28), torch.arange(4)[:, None]
    terms, scores = model.loss(Images(x, y))
    torch.testing.assert_close(scores, model.layer(model.features(x).amax((2, 3))))
    torch.testing.assert_close(terms["cross_entropy"], F.cross_entropy(scores, y[:, 0]))


def test_the_cnn_names_images_too_small() -> None:
    with pytest.raises(ValueError, match="7×16"):
        CNN(shape=ImageShape(1, 7, 16, 10), config=CNNConfig())


def test_copy_last_repeats_the_last_frame_and_is_not_trained() -> None:
    model = CopyLast(shape=ClipShape(1, 4, 4, past=3, future=2), config=CopyLast.Config())
    clips = Clips(torch.rand(2, 3, 1, 4, 4), torch.rand(2, 2, 1, 4, 4))
    frames = model(clips.past)
    assert frames.shape == clips.future.shape
    assert all(torch.equal(frames[:, t], clips.past[:, 2]) for t in (0, 1))
    torch.testing.assert_close(model.loss(clips)[0]["mse"], (frames - clips.future).square().mean())
    assert not model.trainable
    with pytest.raises(TypeError, match="not trained"):
        model.optimization()
