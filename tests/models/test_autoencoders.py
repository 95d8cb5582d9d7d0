"""The baselines of autoencoding: against the textbook and scikit-learn."""

from __future__ import annotations

from typing import Any

import pytest
import sklearn.cluster
import torch
from torch import Tensor

from models.autoencoders import (
    Autoencoder,
    AutoencoderConfig,
    KMeans,
    KMeansConfig,
    lloyd,
    plus_plus,
)
from models.textbook import autoencoder
from models.variant import Images, ImageShape
from tests.models.comparison import gradients, total_loss


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def images(shape: ImageShape, count: int = 6, dtype: torch.dtype = torch.float64) -> Images:
    x = torch.rand(count, shape.channels, shape.height, shape.width, dtype=dtype)
    return Images(x, torch.zeros(count, 1, dtype=torch.int64))


def blobs(clusters: int, each: int = 20, shape: tuple[int, int, int] = (1, 3, 2)) -> Tensor:
    """Images around `clusters` far means, cluster after cluster."""
    means = torch.rand(clusters, 1, *shape, dtype=torch.float64)
    return (means + 0.01 * torch.randn(clusters, each, *shape).double()).flatten(0, 1)


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


def test_kmeans_finds_what_scikit_learn_finds_from_the_same_start() -> None:
    points = torch.rand(200, 7, dtype=torch.float64)
    start = plus_plus(points, 5)
    theirs = sklearn.cluster.KMeans(5, init=start.numpy(), n_init=1, tol=0).fit(points.numpy())
    found = lloyd(points, start, 100)
    torch.testing.assert_close(found, torch.from_numpy(theirs.cluster_centers_))


def test_a_step_of_lloyd_is_assignment_and_mean() -> None:
    points, start = torch.rand(30, 2).double(), torch.rand(4, 2).double()
    nearest = [min(range(4), key=lambda k, p=p: float((p - start[k]).norm())) for p in points]
    expected = [
        torch.stack([p for p, n in zip(points, nearest, strict=True) if n == k]).mean(0)
        for k in range(4)
    ]
    torch.testing.assert_close(lloyd(points, start, 1), torch.stack(expected))


def test_an_empty_cluster_keeps_its_centroid() -> None:
    points = torch.tensor([[0.0], [1.0]])
    start = torch.tensor([[0.4], [50.0]])
    assert lloyd(points, start, 10).tolist() == [[0.5], [50.0]]


def test_starts_are_different_points_drawn_by_squared_distance() -> None:
    points = torch.cat([torch.zeros(50, 1), torch.full((50, 1), 1.0), torch.full((1, 1), 3.0)])
    firsts = [plus_plus(points.double(), 3).flatten().sort().values for _ in range(20)]
    assert all(start.tolist() == [0, 1, 3] for start in firsts)
    # After the point at 0, the odds of 50 points at 1 and of one point at 3 are 50 to 9.
    torch.manual_seed(0)
    pairs = [plus_plus(points.double(), 2).flatten().tolist() for _ in range(2000)]
    after_zero = [second for first, second in pairs if first == 0]
    share = sum(second == 3 for second in after_zero) / len(after_zero)
    assert share == pytest.approx(9 / 59, abs=0.04)


def test_clusters_codes_and_reconstructions_agree() -> None:
    x = blobs(3)
    model = KMeans(shape=ImageShape(1, 3, 2, 3), config=KMeansConfig()).double()
    model.fit(x)
    coded = model(x)
    assert coded.code.sum(dim=1).eq(1).all()
    labels = coded.code.argmax(dim=1).view(3, 20)
    assert (labels == labels[:, :1]).all()
    assert labels[:, 0].unique().numel() == 3
    means = x.view(3, 20, 1, 3, 2).mean(dim=1).repeat_interleave(20, dim=0)
    torch.testing.assert_close(coded.reconstruction, means)
    (mse,) = model.loss(Images(x, torch.zeros(60, 1)))[0].values()
    torch.testing.assert_close(mse, (means - x).square().mean())


def test_the_tightest_of_the_starts_counts() -> None:
    x, shape = torch.rand(80, 1, 3, 2).double(), ImageShape(1, 3, 2, 6)

    def spread(starts: int, seed: int) -> float:
        torch.manual_seed(seed)
        model = KMeans(shape=shape, config=KMeansConfig(starts=starts)).double()
        model.fit(x)
        return float((model(x).reconstruction - x).square().sum())

    # The same generator gives the first start of each.
    pairs = [(spread(1, seed), spread(8, seed)) for seed in range(5)]
    assert all(many <= one for one, many in pairs)
    assert any(many < one for one, many in pairs)


def test_kmeans_takes_as_many_clusters_as_classes_or_as_asked() -> None:
    shape = ImageShape(1, 3, 2, 4)
    assert KMeans(shape=shape, config=KMeansConfig()).centroids.shape == (4, 1, 3, 2)
    asked = KMeans(shape=shape, config=KMeansConfig(clusters=9))
    assert asked(torch.rand(2, 1, 3, 2)).code.shape == (2, 9)


def test_the_clustering_is_decided_by_the_generator_and_ends_in_time() -> None:
    x, shape = torch.rand(100, 1, 3, 2), ImageShape(1, 3, 2, 5)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = KMeans(shape=shape, config=KMeansConfig(starts=1, iterations=1))
        model.fit(x)
        found.append(model.centroids.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    model = KMeans(shape=shape, config=KMeansConfig())
    model.fit(torch.zeros(20, 1, 3, 2))  # fewer different images than clusters
    assert model.centroids.isfinite().all()


def test_kmeans_is_not_trained() -> None:
    model = KMeans(shape=ImageShape(1, 3, 2, 5), config=KMeansConfig())
    assert not model.trainable
    with pytest.raises(TypeError, match="not trained"):
        model.optimization()
