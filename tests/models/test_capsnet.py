"""Tests CapsNet, of the paper and of the notebook, against the textbook and known mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from einops import rearrange

from models.capsnet import CapsNet, CapsNetConfig
from models.capsnet_notebook import NotebookCapsNet, NotebookConfig
from models.layers.capsules import length
from models.textbook import capsnet, capsnet_notebook
from models.variant import Images, ImageShape, Variant
from tests.models.comparison import gradients, total_loss
from tests.narrowing import present

MNIST = ImageShape(1, 28, 28, 10)
SMALL: dict[str, Any] = {
    "conv_channels": 8,
    "primary_capsules": 3,
    "primary_dim": 4,
    "digit_dim": 5,
    "decoder_first": 12,
    "decoder_second": 16,
}


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
    ],
)
def test_parameter_counts(changes: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        for model in (
            CapsNet(shape=MNIST, config=CapsNetConfig(**changes)),
            NotebookCapsNet(shape=MNIST, config=NotebookConfig(**changes)),
        ):
            assert size(model) == count


def size(model: Variant) -> int:
    return sum(p.numel() for p in model.parameters())


def preset(dataset: str, **changes: Any) -> CapsNet:
    config = CapsNetConfig(**{**CapsNet.presets[dataset], **changes})
    return CapsNet(shape=ImageShape(3, 32, 32, 10), config=config)


def test_presets_have_the_papers_and_the_authors_sizes() -> None:
    """Checks the sizes of the presets.

    Section 7: SVHN has 64 channels, 16 capsules of 6 dimensions at each of 8×8 positions, and class
    capsules of 8 dimensions. By the authors' call, CIFAR-10 has 64 capsules at each of 12×12
    positions, and no decoder.
    """
    with torch.device("meta"):
        svhn, cifar = preset("svhn"), preset("cifar10")
        code = CapsNet(shape=MNIST, config=CapsNetConfig(follow="code"))
    assert svhn.network.digits.weight.shape == (16 * 8 * 8, 6, 10, 8)
    assert svhn.network.primary.features.out_channels == 64
    assert svhn.network.decoder is not None
    assert cifar.network.digits.weight.shape == (64 * 12 * 12, 8, 10, 16)
    assert cifar.network.decoder is None
    assert [size(svhn), size(cifar), size(code)] == [4_720_480, 22_476_288, 8_215_568 + 160]


@pytest.mark.parametrize("shape", [ImageShape(2, 29, 30, 6), ImageShape(1, 16, 14, 5, labels=2)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"notebook": True},
        {"notebook": True, "standardise": True},
        {"standardise": True},
        {"follow": "code"},
        {"none_of_the_above": True},
        {"same_padding": True},
        {"follow": "code", "none_of_the_above": True, "same_padding": True, "standardise": True},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_forward_loss_and_gradients_equal_the_textbook(
    shape: ImageShape, changes: dict[str, Any]
) -> None:
    changes = dict(changes)
    notebook = changes.pop("notebook", False)
    model = (
        NotebookCapsNet(shape=shape, config=NotebookConfig(**SMALL, **changes))
        if notebook
        else small(shape, shift=0, **changes)
    ).double()
    oracle = (capsnet_notebook if notebook else capsnet).textbook(model)
    assert_equal(model, oracle, shape)


def test_crops_are_central_in_evaluation_as_in_the_textbook() -> None:
    """Checks the authors' evaluation on CIFAR-10; guards against random crops of test images."""
    shape = ImageShape(2, 29, 32, 6)
    model = small(shape, crop=24, flip=True, contrast=0.8, standardise=True).double().eval()
    oracle = capsnet.textbook(model)
    oracle.masked_by_truth = False
    assert_equal(model, oracle, shape)


def assert_equal(model: Any, oracle: Any, shape: ImageShape) -> None:
    """Checks that lengths, loss, and the gradient of every parameter equal the textbook's."""
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
    weights, biases = [model.network.digits.weight], [oracle.W]
    if model.network.digits.bias is not None:
        weights.append(model.network.digits.bias)
        biases.append(oracle.bias)
    mine, written = gradients(ours, weights), gradients(theirs, biases)
    torch.testing.assert_close([oracle.type_first(mine[0]), *mine[1:]], written)


def test_the_authors_code_begins_with_its_own_weights() -> None:
    """Checks that truncated normal weights keep 0.88 of their deviation, and all biases are 0.1."""
    network = CapsNet(shape=MNIST, config=CapsNetConfig(follow="code")).network
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0.1).all(), name
        else:
            asked = 0.05 if name == "primary.features.weight" else 0.1
            assert parameter.std().item() == pytest.approx(0.88 * asked, rel=0.02), name
            assert parameter.abs().max() <= 2 * asked


def test_the_authors_code_halves_the_margin_beside_the_reconstruction() -> None:
    assert small().loss_weights == {"reconstruction": 0.0005}
    assert small(follow="code").loss_weights == {"margin": 0.5, "reconstruction": 0.0005}


def test_training_crops_mirrors_and_shifts_within_the_image() -> None:
    model = small(ImageShape(1, 32, 32, 10), crop=24, flip=True, shift=0)
    x = torch.arange(1024.0).view(1, 1, 32, 32).expand(200, -1, -1, -1) / 1024
    crops = model.training_view(x)
    assert crops.shape == (200, 1, 24, 24)
    steps = crops[:, 0, 0, 1] - crops[:, 0, 0, 0]
    assert {round(1024 * step.item()) for step in steps} == {-1, 1}
    assert len(crops[:, 0].amin((1, 2)).unique()) > 50


def test_the_decoder_aims_at_raw_pixels() -> None:
    """Checks that targets keep scale and contrast; a sigmoid could not reach other values."""
    model = small(standardise=True, contrast=0.8, shift=0)
    batch, targets = images(MNIST), []
    present(model.network.decoder).register_forward_hook(lambda *called: targets.append(called[2]))
    term = model.loss(batch)[0]["reconstruction"]
    expected = (targets[0] - batch.x).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(term, expected)
    assert torch.equal(present(model.reconstruct(batch.x))[0], batch.x)


def test_contrast_changes_in_training_alone() -> None:
    model, batch = small(contrast=0.8, shift=0), images(MNIST, 8)
    assert not torch.equal(model.loss(batch)[1], model.loss(batch)[1])
    model.eval()
    assert torch.equal(model.loss(batch)[1], model(batch.x))


@pytest.mark.parametrize("variant", [CapsNet, NotebookCapsNet])
def test_photographs_are_standardised_by_preset_and_digits_are_not(variant: Any) -> None:
    """Checks the presets that standardise.

    On raw SVHN, training predicts the largest class only; on standardised MNIST it is slower.
    """
    assert {d for d, p in variant.presets.items() if p.get("standardise")} == {"svhn", "cifar10"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"crop": 16}, "16×16.*17 pixels"), ({"crop": 30}, "30×30.*28×28")],
)
def test_crops_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


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
    present(model.network.decoder).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[1])
    )
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
    target, decoded = present(model.reconstruct(batch.x))
    assert torch.equal(target, batch.x)
    error = (decoded - target).square()
    term = model.loss(batch)[0]["reconstruction"]
    torch.testing.assert_close(term, error.sum() / 4)
    notebook = NotebookCapsNet(shape=MNIST, config=NotebookConfig(**SMALL))
    target, decoded = present(notebook.reconstruct(batch.x))
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
        present(recipe.scheduler).step()
    assert recipe.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 4)


def test_the_learning_rate_falls_to_zero_along_a_cosine_if_asked() -> None:
    recipe = small(restart_steps=8).optimization()
    rates = []
    for _ in range(8):
        rates.append(recipe.optimizer.param_groups[0]["lr"])
        recipe.optimizer.step()
        present(recipe.scheduler).step()
    assert rates[0] == 1e-3
    assert rates[4] == pytest.approx(5e-4)
    assert rates[7] < 5e-5
