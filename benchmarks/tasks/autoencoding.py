"""Defines the task autoencoding: images are encoded and reconstructed, without labels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.batches import Epoch
from benchmarks.datasets.samples import Batch
from benchmarks.datasets.task_data import TaskData
from benchmarks.metrics import AUTOENCODING, PROBE_SAMPLES
from benchmarks.records.seeds import derive_seed
from benchmarks.tasks import probes
from benchmarks.tasks.task import Means, Task
from benchmarks.tasks.training_statistics import class_counts, mean_picture
from models.layers.numerics import in_double
from models.variant import Coded, Images, ImageShape, Variant


class Autoencoding(Task[Images]):
    """Trains and evaluates autoencoders: how well codes predict images and classes.

    `lin_pred` and `lin_match` probe the code, `lin_pred_prior` and `lin_match_prior` the prior of
    capsule models; see `benchmarks/tasks/probes.py`. Probes are fitted to codes of training images
    in evaluation mode: without augmentation and noise. After each epoch, probes are fitted to
    `PROBE_SAMPLES` training images, drawn from the run's seed. For the test of a final, and for the
    floor of its untrained network, probes are fitted to all training images.

    `mse` is the squared error of the reconstruction, as a mean over pixels and channels. `nll` is
    the negative log-likelihood in nats per pixel and channel, because variants reconstruct images
    of different sizes. Both metrics are means over images.
    """

    evaluation_batch = 200

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__(model, data, seed=seed)
        assert isinstance(data.shape, ImageShape)
        self.classes = data.shape.classes
        self._seen = self._room()
        self._errors = Means()
        self._probes: dict[str, dict[str, probes.Probe]] = {}
        self._probe_samples = min(PROBE_SAMPLES, len(data.train))

    def training_metrics(self, prediction: Coded, batch: Images) -> dict[str, Tensor]:
        return {name: value for name, value in _errors(prediction).items() if name == "mse"}

    def update(self, prediction: Coded, batch: Images) -> None:
        self._seen.add(prediction, batch.y)
        self._errors.add(_errors(prediction), weight=len(batch.y))

    def compute(self) -> dict[str, float]:
        seen, self._seen = self._seen, self._room()
        if not self._probes:
            self._probes = self._fitted()
        found = self._errors.take()
        for role, fitted in self._probes.items():
            scores = probes.score_probes(fitted, seen.numbers(role), seen.labels())
            suffix = "" if role == "code" else f"_{role}"
            found |= {f"{name}{suffix}": value for name, value in scores.items()}
        return {name: found[name] for name in AUTOENCODING if name in found}

    def floors(self) -> dict[str, dict[str, float]]:
        """Scores two trivial answers: `largest class`, for all probes, and `mean image`.

        The mean image is the mean of the training targets. Its likelihood is that of a Gaussian of
        standard deviation 1 around each pixel, as in part autoencoders.
        """
        counts = class_counts(self.data.train, self.classes, self.evaluation_batch)
        mean = mean_picture(self.data.train, self._targets, self.evaluation_batch)
        errors, labels = Means(), []
        for batch in self.test_dataloader():
            target = self._targets(batch)
            errors.add({"mse": (target - mean).square().mean()}, weight=len(target))
            labels.append(batch[1].cpu().numpy())
        largest = probes.largest_class_accuracy(counts.cpu().numpy(), np.concatenate(labels))
        probed = [name for name in AUTOENCODING if name.startswith("lin_")]
        mse = errors.take()["mse"]
        nll = 0.5 * math.log(2 * math.pi) + 0.5 * mse
        return {
            "largest class": dict.fromkeys(probed, largest),
            "mean image": {"mse": mse, "nll": nll},
        }

    def _targets(self, batch: Batch) -> Tensor:
        """Returns the images that the model shall reconstruct, (batch, channels, height, width)."""
        assert isinstance(batch, Images)
        with torch.inference_mode():
            return self.model.target(batch.x)

    def on_train_epoch_start(self) -> None:
        self._probes = {}

    def use_all_training_samples(self) -> None:
        if self._probe_samples < len(self.data.train):
            self._probe_samples, self._probes = len(self.data.train), {}

    def _fitted(self) -> dict[str, dict[str, probes.Probe]]:
        """Fits probes to the codes of training samples, and to the priors of a model with priors.

        Returns:
            By `code` or `prior`, the probes by name.
        """
        train = _Codes(self._probe_samples)
        with self.as_in_evaluation():
            for batch in Epoch(
                self.data.train, self._probed(), self.evaluation_batch, epoch=self.current_epoch
            ):
                assert isinstance(batch, Images)
                train.add(self.model.encode(batch.x), batch.y)
        return {
            role: probes.fit_probes(
                train.numbers(role),
                train.labels(),
                classes=self.classes,
                seed=derive_seed(self.seed, probe=role),
                drawn_from=len(self.data.train),
            )
            for role in train.roles
        }

    def _probed(self) -> Tensor:
        """Draws the training samples that probes are fitted to: their indices, ascending."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, probe="samples"))
        order = torch.randperm(len(self.data.train), generator=generator)
        return order[: self._probe_samples].sort().values

    def _room(self) -> _Codes:
        """Makes an empty store that is large enough for the validation and the test samples."""
        validation = self.data.validation
        return _Codes(max(len(self.data.test), 0 if validation is None else len(validation)))


def _errors(coded: Coded) -> dict[str, Tensor]:
    """Computes `mse` and `nll` of a batch; a metric that the variant cannot have is left out."""
    errors = {}
    if coded.reconstruction is not None and coded.target is not None:
        errors["mse"] = (coded.reconstruction.float() - coded.target.float()).square().mean()
    if coded.log_likelihood is not None:
        assert coded.target is not None, "a likelihood is that of a target"
        errors["nll"] = -in_double(coded.log_likelihood).mean() / coded.target[0].numel()
    return errors


class _Codes:
    """Stores codes, priors and labels of one pass over samples, each in one preallocated array.

    Small tensors kept from batch to batch would fragment the memory that a batch frees: on 275
    batches of `pcae`, the process grew by 8 to 10 MB per batch.

    Args:
        samples: the largest number of samples in a pass.
    """

    def __init__(self, samples: int) -> None:
        self._samples, self._count = samples, 0
        self._arrays: dict[str, np.ndarray] = {}

    def add(self, coded: Coded, y: Tensor) -> None:
        end = self._count + len(y)
        found = {"labels": y, "code": coded.code.float()}
        if coded.prior is not None:
            found["prior"] = coded.prior.float()
        for name, numbers in found.items():
            rows = numbers.detach().cpu().numpy()
            if name not in self._arrays:
                self._arrays[name] = np.empty((self._samples, rows.shape[1]), rows.dtype)
            self._arrays[name][self._count : end] = rows
        self._count = end

    @property
    def roles(self) -> list[str]:
        return [name for name in self._arrays if name != "labels"]

    def numbers(self, role: str) -> np.ndarray:
        """Returns the stored `code` or `prior` of the samples, (samples, dims) float64."""
        return self._arrays[role][: self._count].astype(np.float64)

    def labels(self) -> np.ndarray:
        """Returns the stored labels, (samples, labels) int64."""
        return self._arrays["labels"][: self._count]
