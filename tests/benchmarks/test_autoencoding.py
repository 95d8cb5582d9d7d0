"""Tests that probes equal textbook versions and are fitted to training codes without noise."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.samples import StillSamples
from benchmarks.metrics import AUTOENCODING
from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger
from benchmarks.records.spec import Budget
from benchmarks.tasks import autoencoding, probes
from benchmarks.tasks.autoencoding import Autoencoding
from benchmarks.tasks.picture_grid import grid
from models import registry
from models.variant import Coded, Hyperparameters, Images, ImageShape, Optimization, Variant
from reports.results import read_results
from reports.tables.metric_means import metrics
from tests.benchmarks import probe_bits
from tests.benchmarks.probe_bits import fingerprint, labelled
from tests.benchmarks.test_run import made, spec_of
from tests.narrowing import of_type, present
from tests.reports.results_folder import ledger

MOVING_MNIST = "moving_mnist"
NOWHERE = DataSource(Path("no-such-folder"))
BUDGET = Budget(profile="test", epochs=1, train_samples=60, validation_samples=20, test_samples=20)


def test_lin_match_is_the_best_permutation_on_train() -> None:
    """The reference is a textbook k-means, and all assignments of clusters to classes."""
    codes, y = labelled(120, 4, 3)
    others, other_y = labelled(80, 4, 3, seed=1)
    fitted = probes.fit_cluster_probe(codes, y, classes=4, seed=5)

    tightest, centroids = np.inf, codes[:4]
    for start in range(20):
        c = codes[np.random.default_rng(start).choice(120, 4, replace=False)]
        for _ in range(50):
            nearest = ((codes[:, None] - c) ** 2).sum(2).argmin(1)
            c = np.stack(
                [codes[nearest == k].mean(0) if (nearest == k).any() else c[k] for k in range(4)]
            )
        spread = ((codes[:, None] - c) ** 2).sum(2).min(1).sum()
        if spread < tightest:
            tightest, centroids = spread, c

    def found(x: np.ndarray) -> np.ndarray:
        return ((x[:, None] - centroids) ** 2).sum(2).argmin(1)

    names = max(
        itertools.permutations(range(4)),
        key=lambda names: (np.array(names)[found(codes)] == y[:, 0]).sum(),
    )
    assert fitted(codes, y) == (np.array(names)[found(codes)] == y[:, 0]).mean()
    assert fitted(others, other_y) == (np.array(names)[found(others)] == other_y[:, 0]).mean()
    assert 0.5 < fitted(others, other_y) < 1


def test_lin_pred_is_a_logistic_regression_on_standardised_codes() -> None:
    """The reference minimises the summed softmax cross-entropy plus half the squared weights."""
    codes, y = labelled(100, 3, 2)
    codes = codes * [100.0, 0.01] + 7
    others, other_y = labelled(90, 3, 2, seed=1)
    others = others * [100.0, 0.01] + 7
    mean, deviation = codes.mean(0), codes.std(0)

    def logits(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (x - mean) / deviation @ theta[:6].reshape(2, 3) + theta[6:]

    def cost(theta: np.ndarray) -> float:
        z = logits(theta, codes)
        losses = np.log(np.exp(z).sum(1)) - z[np.arange(100), y[:, 0]]
        return losses.sum() + (theta[:6] ** 2).sum() / 2

    theta = minimize(cost, np.zeros(9), tol=1e-10).x
    expected = (logits(theta, others).argmax(1) == other_y[:, 0]).mean()
    assert probes.fit_linear_probe(codes, y, classes=3)(others, other_y) == expected
    assert 0.5 < expected < 1


@pytest.mark.parametrize("most", [0, 400])
def test_a_share_of_the_samples_has_that_share_of_the_penalty(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If each sample occurs three times, mean loss and optimum stay the same."""
    monkeypatch.setattr(probes, "NEWTON_WEIGHTS", most)
    codes, y = labelled(100, 3, 2)
    thrice = probes._regression(6, 1.0).fit(np.tile(codes, (3, 1)), np.tile(y[:, 0], 3))[-1]
    third = probes._regression(6, 1 / 3).fit(codes, y[:, 0])[-1]
    whole = probes._regression(6, 1.0).fit(codes, y[:, 0])[-1]
    assert third.coef_ == pytest.approx(thrice.coef_, abs=1e-3)
    assert whole.coef_ != pytest.approx(thrice.coef_, abs=1e-2)


def test_two_digits_are_right_where_both_are_among_the_two_highest() -> None:
    """The reference counts right answers of scikit-learn's regressions."""
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(0)
    y = np.stack([draw.permutation(5)[:2] for _ in range(200)])
    codes = np.eye(5)[y].sum(1) + 0.5 * draw.standard_normal((200, 5))
    standard = (codes - codes[:150].mean(0)) / codes[:150].std(0)
    values = []
    for k in range(5):
        shown = np.array([k in pair for pair in y[:150]])
        regression = LogisticRegression(max_iter=1000).fit(standard[:150], shown)
        values.append(regression.decision_function(standard[150:]))
    right = 0
    for decision, pair in zip(np.stack(values, 1), y[150:], strict=True):
        right += set(np.argsort(decision)[-2:].tolist()) == set(pair.tolist())
    fitted = probes.fit_multilabel_probe(codes[:150], y[:150], classes=5)
    assert fitted(codes[150:], y[150:]) == right / 50
    assert fitted(codes[150:], y[150:, ::-1]) == right / 50  # the labels' order is irrelevant
    assert 0.3 < right / 50 < 1


def test_a_class_that_train_does_not_show_is_never_answered() -> None:
    y = np.array([[0, 1], [0, 2], [1, 2]] * 10)
    codes = np.eye(4)[y].sum(1)
    fitted = probes.fit_multilabel_probe(codes, y, classes=4)
    assert fitted(codes, y) == 1
    assert fitted(np.eye(4)[[[0, 3]]].sum(1), np.array([[0, 3]])) == 0


def test_probes_are_fitted_on_train_not_on_what_they_score() -> None:
    """Known mistake: k-means is refitted on the test set, which would be right on this data."""
    train = np.repeat([[0.0], [1.0]], 20, axis=0)
    train_y = np.repeat([[0], [1]], 20, axis=0)
    test = np.repeat([[0.0], [0.4]], 20, axis=0)
    fitted = probes.fit_probes(train, train_y, classes=2, seed=0)
    assert probes.score_probes(fitted, test, train_y) == {"lin_pred": 0.5, "lin_match": 0.5}
    refitted = probes.fit_probes(test, train_y, classes=2, seed=0)
    assert probes.score_probes(refitted, test, train_y) == {"lin_pred": 1, "lin_match": 1}


def test_clusters_are_named_on_train_not_on_what_they_score() -> None:
    """Known mistake: clusters are matched to classes on the test set."""
    codes = np.repeat([[0.0], [1.0]], 20, axis=0)
    y = np.repeat([[0], [1]], 20, axis=0)
    fitted = probes.fit_probes(codes, y, classes=2, seed=0)
    assert probes.score_probes(fitted, codes, 1 - y)["lin_match"] == 0


def test_a_collapsed_code_is_scored_without_a_warning() -> None:
    codes, (_, y) = np.zeros((60, 4)), labelled(60, 5, 4)
    fitted = probes.fit_probes(codes, y, classes=5, seed=0)
    most = np.bincount(y[:, 0]).max() / 60
    assert probes.score_probes(fitted, codes, y) == {"lin_pred": most, "lin_match": most}


@pytest.mark.parametrize("labels", [1, 2])
def test_a_code_that_is_not_finite_scores_nan(labels: int) -> None:
    codes = np.random.default_rng(0).random((60, 4))
    y = np.stack([np.random.default_rng(i).permutation(5)[:labels] for i in range(60)])
    broken = codes.copy()
    broken[3, 2] = np.nan
    for trained, scored in ((codes, broken), (broken, codes)):
        scores = probes.score_probes(probes.fit_probes(trained, y, classes=5, seed=0), scored, y)
        assert all(np.isnan(value) for value in scores.values())
        assert set(scores) == ({"lin_pred", "lin_match"} if labels == 1 else {"lin_pred"})


def test_probes_are_bit_equal_in_other_processes_and_with_other_threads() -> None:
    here = fingerprint()
    with threadpool_limits(limits=2):
        assert fingerprint() == here
    there = subprocess.run(
        [sys.executable, probe_bits.__file__],
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert there.stdout.strip() == here, there.stderr


class Noisy(Variant):
    """Encodes an image as its mean; in training, strong noise is added to image and code."""

    def __init__(self, *, shape: Any, config: Hyperparameters, base: Any = None) -> None:
        super().__init__(shape=shape, config=config)
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[tuple[bool, bool, bool]] = []

    def forward(self, x: Tensor) -> Coded:
        self.seen.append((self.training, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        code = self.weight * x.mean(dim=(1, 2, 3), keepdim=True).flatten(1)
        if self.training:
            code = code + 100 * torch.randn_like(code)
        likelihood = torch.full((len(x),), -3.0 * x[0].numel())
        return Coded(code, code.square(), x, 0.5 * x, likelihood)

    def loss(self, batch: Images) -> tuple[dict[str, Tensor], Coded]:
        coded = self(batch.x)
        return {"code": coded.code.square().mean()}, coded

    def optimization(self) -> Optimization:
        return Optimization(torch.optim.SGD(self.parameters(), lr=1e-6))


class Opposed(Noisy):
    """Returns a prior that is dark where the code is bright."""

    def forward(self, x: Tensor) -> Coded:
        coded = super().forward(x)
        return coded._replace(prior=-coded.code)


def grey(count: int, dark: int = 0) -> StillSamples:
    """Makes grey images of two brightnesses; the class `dark` has the lower one."""
    bright = torch.arange(count) % 2
    pixels = (bright * 200).to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 4, 5)
    return StillSamples(pixels, bright if dark == 0 else 1 - bright)


def task_of(model_class: type[Variant], test: StillSamples | None = None) -> Autoencoding:
    data = datasets.find("mnist").load("autoencoding", budget=BUDGET, source=NOWHERE, seed=0)
    object.__setattr__(data, "train", grey(60))
    object.__setattr__(data, "test", test or grey(20))
    shape = of_type(ImageShape, data.shape)._replace(classes=2, height=4, width=5)
    object.__setattr__(data, "shape", shape)
    return Autoencoding(model_class(shape=data.shape, config=Hyperparameters()), data, seed=0)


def evaluated(task: Autoencoding, frozen: nn.Module | None = None) -> dict[str, float]:
    task.eval()
    for batch in task.test_dataloader():
        task.validation_step(of_type(Images, batch), 0)
    task.train()
    if frozen is not None:
        frozen.eval()
    return task.compute()


def test_probes_see_codes_as_evaluation_does() -> None:
    """Codes are computed in evaluation mode: with noise, probes would score at chance level."""
    task = task_of(Noisy)
    frozen = nn.BatchNorm1d(1)
    task.model.register_module("frozen", frozen)
    found = evaluated(task, frozen)
    assert found["lin_pred"] == found["lin_match"] == 1
    assert found["lin_pred_prior"] == found["lin_match_prior"] == 1
    assert of_type(Noisy, task.model).seen[-1] == (False, False, False)
    assert task.training
    assert task.model.training
    assert not frozen.training  # each module has its former mode again


def test_each_code_is_scored_by_its_own_probes() -> None:
    """Known mistake: the prior's probe scores the code, which is always wrong on this data."""
    found = evaluated(task_of(Opposed))
    probed = [value for name, value in found.items() if name.startswith("lin_")]
    assert probed == [1, 1, 1, 1]


def test_a_task_fits_its_probes_on_train() -> None:
    """Known mistake: probes are refitted on the test set, which has contrary labels."""
    found = evaluated(task_of(Noisy, test=grey(20, dark=1)))
    probed = [value for name, value in found.items() if name.startswith("lin_")]
    assert probed == [0, 0, 0, 0]


def test_errors_are_means_over_pixels_and_nats_a_pixel() -> None:
    task = task_of(Noisy)
    found = evaluated(task)
    bright = (200 / 255) ** 2
    assert found["mse"] == pytest.approx(0.25 * bright / 2)
    assert found["nll"] == pytest.approx(3)
    assert list(found) == list(AUTOENCODING)
    x = torch.rand(4, 1, 4, 5)
    trained = task.training_metrics(task.model(x), Images(x, torch.zeros(4, 1)))
    assert float(trained.pop("mse")) == pytest.approx(float((0.5 * x).square().mean()))
    assert not trained


def test_probes_are_fitted_once_an_epoch() -> None:
    task = task_of(Noisy)
    evaluated(task)
    seen = of_type(Noisy, task.model).seen
    passes = len(seen)
    task.use_all_training_samples()  # the probes were fitted to all of them already
    evaluated(task)  # the test follows the validation of the last epoch
    assert len(seen) == passes + 1
    task.on_train_epoch_start()
    evaluated(task)
    assert len(seen) == passes + 3


def test_validation_fits_probes_to_a_part_and_a_finals_test_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoencoding, "PROBE_SAMPLES", 30)
    fit, read = probes.fit_probes, []

    def watched(codes: np.ndarray, labels: np.ndarray, **how: int) -> dict[str, probes.Probe]:
        read.append(len(codes))
        return fit(codes, labels, **how)

    monkeypatch.setattr(probes, "fit_probes", watched)
    record = made(spec_of("autoencoder", epochs=2, role="final", width=2), tmp_path)
    assert record.status == "complete", record.traceback
    assert read == [48, 30, 30, 48]  # of the untrained network, of two epochs, of the test


def test_the_part_is_drawn_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoding, "PROBE_SAMPLES", 20)
    parts = []
    for seed in (0, 0, 1):
        task = task_of(Noisy)
        task.seed = seed
        parts.append(task._probed().tolist())
    assert parts[0] == parts[1] != parts[2]
    for part in parts:
        assert part == sorted(set(part))
        assert len(part) == 20
        assert max(part) > 40, "of 60, not the first of them"


def test_codes_of_all_batches_are_kept_with_their_labels() -> None:
    x, y = torch.rand(7, 3), torch.arange(14).view(7, 2)
    kept = autoencoding._Codes(9)
    for batch in (slice(4), slice(4, 7)):
        kept.add(Coded(x[batch], -x[batch]), y[batch])
    assert kept.roles == ["code", "prior"]
    assert np.array_equal(kept.numbers("code"), x.double())
    assert np.array_equal(kept.numbers("prior"), -x.double())
    assert np.array_equal(kept.labels(), y)


class Bare(Noisy):
    """Returns a code without a reconstruction or a likelihood."""

    def forward(self, x: Tensor) -> Coded:
        return Coded(super().forward(x).code)


def test_what_a_variant_has_not_is_not_measured() -> None:
    task = task_of(Bare)
    assert set(evaluated(task)) == {"lin_pred", "lin_match"}
    x = torch.rand(4, 1, 4, 5)
    assert task.training_metrics(task.model(x), Images(x, torch.zeros(4, 1))) == {}
    assert task.pictures() == {}


def test_pictures_are_images_above_reconstructions_or_the_variants_own() -> None:
    task = task_of(Noisy).eval()
    picture = task.pictures(3)["reconstructions"]
    assert picture.labels == ("image", "reconstruction")
    drawn = grid(picture.rows)
    assert drawn.shape == (2 * (4 + 2) + 2, 3 * (5 + 2) + 2)
    assert (drawn[2:6, 9:14] == 200).all()
    assert (drawn[8:12, 9:14] == 100).all()
    own = [[torch.ones(1, 4, 5)]]
    task.model.pictures = lambda batch: {  # type: ignore[method-assign]
        "reconstructions": own,
        "templates": own,
    }
    assert {name: grid(p.rows).shape for name, p in task.pictures(3).items()} == {
        "reconstructions": (8, 9),
        "templates": (8, 9),
    }


@pytest.mark.parametrize("variant", ["kmeans", "autoencoder"])
@pytest.mark.parametrize("dataset", ["mnist", MOVING_MNIST])
def test_every_metric_is_in_the_record_or_absent_with_a_reason(
    variant: str, dataset: str, tmp_path: Path
) -> None:
    spec = spec_of(variant, dataset, epochs=2, role="final", **SMALL[variant])
    record = made(spec, tmp_path / "one")
    assert record.status == "complete", record.traceback
    asked = set(AUTOENCODING)
    given = {name.removeprefix("test/") for name in record.metrics if name.startswith("test/")}
    assert given & asked | set(record.absent) == asked
    assert not given & set(record.absent)
    assert all(record.absent.values())
    assert ("lin_match" in record.absent) == (dataset == MOVING_MNIST)
    assert made(spec, tmp_path / "two").digest == record.digest
    home = RunFolder(tmp_path / "one", spec.run_id).path
    assert (home / "reconstructions.png").stat().st_size > 0


SMALL: dict[str, dict[str, Any]] = {"kmeans": {"starts": 1}, "autoencoder": {"width": 2}}


def test_bfloat16_codes_are_of_the_trainers_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    encode = registry.variant("autoencoder").encode

    def watched(self: Variant, x: Tensor) -> Coded:
        seen.append((torch.is_autocast_enabled("cpu"), self.training, torch.is_grad_enabled()))
        return encode(self, x)

    monkeypatch.setattr(registry.variant("autoencoder"), "encode", watched)
    spec = spec_of("autoencoder", epochs=1, width=2, precision="bf16-mixed")
    assert made(spec, tmp_path).status == "complete"
    assert set(seen) == {(True, False, False)}


def test_absent_metrics_reach_the_table(tmp_path: Path) -> None:
    """The reasons of variant and task are in the record, and the table says n/a."""
    record = made(spec_of("kmeans", MOVING_MNIST, epochs=1, role="final", starts=1), tmp_path)
    cell = ledger(
        "kmeans",
        MOVING_MNIST,
        "test",
        task="autoencoding",
        metric=record.metric,
        directions=record.directions,
        finals=[record.run_id],
    )
    CellLedger.model_validate(cell).write(ResultsFolder(tmp_path).ledger(cell["study"]))
    rows = metrics(read_results(tmp_path)).set_index("metric")
    assert set(AUTOENCODING) <= set(rows.index)
    assert rows.loc["lin_pred", "note"] == ""
    assert rows["note"]["lin_match"].startswith("n/a: a frame shows two classes")
    assert rows["note"]["nll"].startswith("n/a: k-means fits no density")
    assert rows.loc["nll", "direction"] == "minimize"
    assert rows.loc["nll", "seeds"] == 0


def test_a_diverging_autoencoder_is_a_failed_record(tmp_path: Path) -> None:
    record = made(spec_of("autoencoder", width=2, lr=1e30), tmp_path)
    assert record.status == "failed"
    assert "NonFinite" in present(record.reason)
