"""Tests the autoencoding baselines against the textbook and scikit-learn."""

from __future__ import annotations

from typing import Any

import pytest
import sklearn.cluster
import torch
from torch import Tensor

from models import autoencoders
from models.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    KMeans,
    KMeansConfig,
    kmeans_plus_plus,
    lloyd,
)
from models.textbook import autoencoder
from models.variant import Images, ImageShape
from tests.models.comparison import gradients, total_loss


def images(shape: ImageShape, count: int = 6, dtype: torch.dtype = torch.float64) -> Images:
    x = torch.rand(count, shape.channels, shape.height, shape.width, dtype=dtype)
    return Images(x, torch.zeros(count, 1, dtype=torch.int64))


def noise(count: int, shape: tuple[int, int, int] = (1, 3, 2)) -> Tensor:
    """Draws random images, (count, *shape) uint8."""
    return torch.randint(256, (count, *shape), dtype=torch.uint8)


def blobs(clusters: int, each: int = 20, shape: tuple[int, int, int] = (1, 3, 2)) -> Tensor:
    """Draws images around `clusters` distant means, cluster after cluster, as uint8."""
    means = 25 + 200 * torch.rand(clusters, 1, *shape)
    return (means + 2 * torch.randn(clusters, each, *shape)).flatten(0, 1).to(torch.uint8)


@pytest.mark.parametrize("error", ["mse", "bce"])
@pytest.mark.parametrize(
    "shape", [ImageShape(1, 28, 28, 10), ImageShape(3, 17, 22, 4), ImageShape(2, 1, 5, 3)]
)
def test_loss_and_gradients_equal_the_textbook(shape: ImageShape, error: Any) -> None:
    config = AutoencoderConfig(width=3, code_dims=5, error=error)
    model = Autoencoder(shape=shape, config=config).double()
    oracle = autoencoder.textbook(model)
    batch = images(shape)
    coded = model.loss(batch)[1]
    torch.testing.assert_close(coded.code, oracle.encode(batch.x)[0])
    torch.testing.assert_close(coded.reconstruction, oracle(batch.x))
    ours, theirs = total_loss(model, batch), oracle.loss(batch)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        gradients(ours, list(model.parameters())),
        gradients(
            theirs,
            [
                *_in_turn(oracle.convolutions, oracle.norms),
                *oracle.squeeze.parameters(),
                *oracle.expand.parameters(),
                *_in_turn(oracle.back_norms, oracle.back),
            ],
        ),
    )


def _in_turn(first: Any, second: Any) -> list[Any]:
    pairs = zip(first, second, strict=True)
    return [p for pair in pairs for layer in pair for p in layer.parameters()]


def test_a_code_has_the_asked_size_and_reconstructions_that_of_the_image() -> None:
    shape = ImageShape(3, 9, 14, 10)
    coded = Autoencoder(shape=shape, config=AutoencoderConfig(code_dims=7, width=2))(
        torch.rand(4, 3, 9, 14)
    )
    assert coded.code.shape == (4, 7)
    assert coded.reconstruction.shape == coded.target.shape == (4, 3, 9, 14)
    assert coded.prior is coded.log_likelihood is None


def test_kmeans_finds_what_scikit_learn_finds_from_the_same_starts() -> None:
    """Checks that each clustering ends as if run alone, although some end before others."""
    points = torch.rand(200, 7, dtype=torch.float64)
    starts = kmeans_plus_plus(points, 5, 4)
    found = lloyd(points, starts, 100)
    took = set()
    for start, centroids in zip(starts, found, strict=True):
        theirs = sklearn.cluster.KMeans(5, init=start.numpy(), n_init=1, tol=0).fit(points.numpy())
        torch.testing.assert_close(centroids, torch.from_numpy(theirs.cluster_centers_))
        took.add(theirs.n_iter_)
    assert len(took) > 1


def test_blocks_of_any_size_give_the_same_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    x, found = noise(150), []
    for size in (7, 50, 1000):
        monkeypatch.setattr(autoencoders, "BLOCK_POINTS", size)
        torch.manual_seed(0)
        model = KMeans(shape=ImageShape(1, 3, 2, 5), config=KMeansConfig())
        model.fit(x)
        found.append(model.centroids.clone())
    torch.testing.assert_close(found[0], found[2])
    torch.testing.assert_close(found[1], found[2])


def test_a_step_of_lloyd_is_assignment_and_mean() -> None:
    points, start = torch.rand(30, 2).double(), torch.rand(4, 2).double()
    nearest = [int((p - start).norm(dim=1).argmin()) for p in points]
    expected = [
        torch.stack([p for p, n in zip(points, nearest, strict=True) if n == k]).mean(0)
        for k in range(4)
    ]
    torch.testing.assert_close(lloyd(points, start[None], 1)[0], torch.stack(expected))


def test_an_empty_cluster_keeps_its_centroid() -> None:
    points = torch.tensor([[0.0], [1.0]])
    start = torch.tensor([[[0.4], [50.0]]])
    assert lloyd(points, start, 10).tolist() == [[[0.5], [50.0]]]


def test_starts_are_different_points_drawn_by_squared_distance() -> None:
    points = torch.cat([torch.zeros(50, 1), torch.full((50, 1), 1.0), torch.full((1, 1), 3.0)])
    firsts = kmeans_plus_plus(points.double(), 3, 20).flatten(1).sort().values
    assert firsts.tolist() == [[0, 1, 3]] * 20
    # After the point at 0, the 50 points at 1 and the single point at 3 have the odds 50 to 9.
    pairs = kmeans_plus_plus(points.double(), 2, 2000).flatten(1).tolist()
    after_zero = [second for first, second in pairs if first == 0]
    share = sum(second == 3 for second in after_zero) / len(after_zero)
    assert share == pytest.approx(9 / 59, abs=0.04)


def test_clusters_codes_and_reconstructions_agree() -> None:
    pixels = blobs(3)
    model = KMeans(shape=ImageShape(1, 3, 2, 3), config=KMeansConfig()).double()
    model.fit(pixels)
    x = pixels.double() / 255
    coded = model(x)
    assert coded.code.sum(dim=1).eq(1).all()
    labels = coded.code.argmax(dim=1).view(3, 20)
    assert (labels == labels[:, :1]).all()
    assert labels[:, 0].unique().numel() == 3
    means = x.view(3, 20, 1, 3, 2).mean(dim=1).repeat_interleave(20, dim=0)
    torch.testing.assert_close(coded.reconstruction, means, rtol=1e-5, atol=1e-6)
    (mse,) = model.loss(Images(x, torch.zeros(60, 1)))[0].values()
    torch.testing.assert_close(mse, (means - x).square().mean(), rtol=1e-5, atol=1e-6)


def test_the_tightest_of_the_starts_counts() -> None:
    x, shape = noise(80), ImageShape(1, 3, 2, 6)
    points = x.flatten(1).double()

    def spread(centroids: Tensor) -> float:
        return float(torch.cdist(points, centroids.flatten(1)).min(dim=1).values.square().sum())

    for seed in range(5):
        torch.manual_seed(seed)
        model = KMeans(shape=shape, config=KMeansConfig(starts=8))
        model.fit(x)
        torch.manual_seed(seed)
        each = [
            spread(c) for c in lloyd(points, kmeans_plus_plus(x.flatten(1), 6, 8).double(), 100)
        ]
        assert spread(255 * model.centroids.double()) == pytest.approx(min(each))
        assert min(each) < max(each)


def test_kmeans_takes_as_many_clusters_as_classes_or_as_asked() -> None:
    shape = ImageShape(1, 3, 2, 4)
    assert KMeans(shape=shape, config=KMeansConfig()).centroids.shape == (4, 1, 3, 2)
    asked = KMeans(shape=shape, config=KMeansConfig(clusters=9))
    assert asked(torch.rand(2, 1, 3, 2)).code.shape == (2, 9)


def test_the_clustering_is_decided_by_the_generator_and_ends_in_time() -> None:
    x, shape = noise(100), ImageShape(1, 3, 2, 5)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = KMeans(shape=shape, config=KMeansConfig(starts=1, iterations=1))
        model.fit(x)
        found.append(model.centroids.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    model = KMeans(shape=shape, config=KMeansConfig())
    model.fit(torch.zeros(20, 1, 3, 2, dtype=torch.uint8))  # fewer distinct images than clusters
    assert model.centroids.isfinite().all()


def test_kmeans_is_not_trained() -> None:
    model = KMeans(shape=ImageShape(1, 3, 2, 5), config=KMeansConfig())
    assert not model.trainable
    with pytest.raises(TypeError, match="not trained"):
        model.optimization()
