"""Tests crops, mirroring and slices of whole batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.layers import patch_classifier
from models.layers.images import centre_crop, grey, random_crop, resize, standardise
from models.layers.patch_classifier import PatchTokens
from models.layers.slices import mean_over_slices
from models.tlb import TLB
from models.tlb_keras import KerasTLB
from models.variant import Images, ImageShape
from models.vit import ViT, ViTConfig


def test_each_image_is_cropped_and_mirrored_by_itself() -> None:
    """Guards against one place, or one decision to mirror, for a whole batch."""
    x = torch.arange(2 * 5 * 6.0).view(1, 2, 5, 6).expand(200, -1, -1, -1)
    crops = random_crop(x, (4, 4), flip=True)
    possible = {}
    for top in range(2):
        for left in range(3):
            crop = x[0, :, top : top + 4, left : left + 4]
            possible[top, left, False] = crop
            possible[top, left, True] = crop.flip(2)

    def places(crops: torch.Tensor) -> set[tuple[int, int, bool]]:
        return {next(p for p, e in possible.items() if torch.equal(c, e)) for c in crops}

    assert places(crops) == set(possible)
    assert not any(mirrored for *_, mirrored in places(random_crop(x, (4, 4), flip=False)))


def test_centre_crops_leave_equal_margins() -> None:
    x = torch.arange(6 * 7.0).view(1, 1, 6, 7)
    assert torch.equal(centre_crop(x, (2, 4)), x[:, :, 2:4, 1:5])
    assert torch.equal(centre_crop(x, (6, 7)), x)


def test_resizing_takes_pixel_centres() -> None:
    x = torch.tensor([[0.0, 1.0]]).expand(1, 1, 2, 2)
    expected = torch.tensor([0.0, 0.25, 0.75, 1.0]).expand(1, 1, 4, 4)
    torch.testing.assert_close(resize(x, 4), expected)
    assert resize(x, 2) is x


def test_grey_is_luma() -> None:
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(grey(x)[:, 0], 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])
    one = torch.rand(2, 1, 4, 4)
    assert grey(one) is one


def test_patches_are_a_convolution_as_large_as_its_stride() -> None:
    tokens = PatchTokens(channels=3, patch=2, dim=5)
    x = torch.rand(2, 3, 4, 6)
    weight = tokens.projection.weight.view(5, 3, 2, 2)
    maps = nn.functional.conv2d(x, weight, tokens.projection.bias, stride=2)
    torch.testing.assert_close(tokens(x), maps.flatten(2).transpose(1, 2))


def vit(**changes: object) -> ViT:
    config = {"image_size": 8, "resize": 10, "dim": 8, "layers": 1, "dropout": 0.0, **changes}
    return ViT(shape=ImageShape(3, 12, 9, 4), config=ViTConfig(**config))


def test_images_are_cropped_in_training_and_resized_otherwise() -> None:
    """Guards against test images cropped from the larger size, as in training."""
    model = vit()
    batch = Images(torch.rand(4, 3, 12, 9), torch.zeros(4, 1, dtype=torch.int64))
    assert not torch.equal(model.loss(batch)[1], model.loss(batch)[1])
    assert model.training_view(batch.x).shape == (4, 3, 8, 8)
    model.eval()
    assert torch.equal(model.loss(batch)[1], model.scores(resize(batch.x, 8)))


def test_digits_are_not_mirrored() -> None:
    presets = {dataset: preset.get("flip", True) for dataset, preset in ViT.presets.items()}
    digits = ("mnist", "moving_mnist", "usps", "svhn")
    assert presets == {**dict.fromkeys(digits, False), "cifar10": True}
    model = vit(resize=8, flip=False)
    x = torch.rand(16, 3, 12, 9)
    assert torch.equal(model.training_view(x), model.evaluation_view(x))
    model = vit(resize=8)
    seen, mirrored = model.evaluation_view(x), model.training_view(x)
    flips = [torch.equal(a, b.flip(2)) for a, b in zip(seen, mirrored, strict=True)]
    assert 0 < sum(flips) < 16


@pytest.mark.parametrize(("variant", "datasets"), [(ViT, 2), (TLB, 2), (KerasTLB, 1)])
def test_photographs_are_standardised_by_preset(variant: Any, datasets: int) -> None:
    """Checks the presets; CIFAR-10 stays raw for the Keras example, as in the example itself."""
    seen = {d for d, preset in variant.presets.items() if preset.get("standardise")}
    assert seen == set(["svhn", "cifar10"][:datasets])


def test_each_crop_is_standardised_and_pictures_are_not() -> None:
    model = vit(standardise=True).eval()
    x = torch.rand(4, 3, 12, 9)
    seen = model.evaluation_view(x)
    assert torch.equal(seen, vit().evaluation_view(x))
    torch.testing.assert_close(model.embed(seen), model.embed(0.5 * seen + 0.2), atol=0.1, rtol=0.1)
    torch.testing.assert_close(model.embed(seen), model.tokens(standardise(seen)))


def test_the_rate_rises_falls_and_begins_again() -> None:
    def rates(**changes: object) -> list[float]:
        optimizer, scheduler, *_ = vit(lr=0.5, **changes).optimization()
        assert scheduler is not None
        seen = []
        for _ in range(6):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return seen

    assert rates() == [0.5] * 6
    assert rates(warmup_steps=3) == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert rates(restart_steps=4) == pytest.approx(
        [0.5, 0.4268, 0.25, 0.0732, 0.5, 0.4268], abs=1e-4
    )
    both = rates(warmup_steps=1, restart_steps=4)
    assert both[:2] == pytest.approx([0.25, 0.4268], abs=1e-4)


def test_slices_have_the_batchs_loss_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vit(resize=8, flip=False).double()
    batch = Images(torch.rand(7, 3, 12, 9).double(), torch.randint(4, (7, 1)))
    results = []
    for size in (7, 3):
        monkeypatch.setattr(patch_classifier, "SLICE", size)
        terms, scores = model.loss(batch)
        loss = 3 * terms["cross_entropy"]
        results.append((loss, scores, torch.autograd.grad(loss, list(model.parameters()))))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_evaluation_batches_may_be_larger_than_a_slice(
    monkeypatch: pytest.MonkeyPatch, mode: type
) -> None:
    """Evaluates in inference mode, as the harness does, where gradients cannot be computed."""
    monkeypatch.setattr(patch_classifier, "SLICE", 3)
    model = vit().eval()
    batch = Images(torch.rand(7, 3, 12, 9), torch.randint(4, (7, 1)))
    with mode():
        assert torch.equal(model.loss(batch)[1], model(batch.x))


def test_slices_leave_frozen_parameters_alone() -> None:
    free, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)

    def loss(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (x * free * frozen).sum(1).mean(), x

    value, _ = mean_over_slices(loss, (torch.rand(5, 2),), [frozen, free], size=2)
    value.backward()
    assert free.grad is not None
    assert frozen.grad is None
