"""Autoencoding: images to codes and back, without labels."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

from benchmarks.batches import Epoch
from benchmarks.datasets.samples import Batch
from benchmarks.datasets.task_data import TaskData
from benchmarks.metrics import AUTOENCODING
from benchmarks.records.seeds import derive
from benchmarks.tasks import probes
from benchmarks.tasks.base import Means, Task
from benchmarks.tasks.floors import class_counts, mean_picture
from benchmarks.tasks.pictures import grid
from models.variant import Coded, Images, ImageShape, Variant


class Autoencoding(Task[Images]):
    """How much a code tells of an image, and of a class that it was not taught.

    `lin_pred` and `lin_match` probe the code, `lin_pred_prior` and `lin_match_prior` the prior of
    capsule models; `benchmarks/tasks/probes.py` says how. Probes are fitted to the codes of all
    training images after each epoch, as evaluation sees them: no augmentation, no noise. The test
    is scored by the probes of the last epoch. `mse` is the reconstruction's squared error, mean
    over pixels and channels; `nll` the negative log-likelihood in nats a pixel and channel, because
    variants differ in the size of what they reconstruct. Both are means over images.
    """

    evaluation_batch = 200

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__(model, data, seed=seed)
        assert isinstance(data.shape, ImageShape)
        self.classes = data.shape.classes
        self._seen = _Codes()
        self._errors = Means()
        self._probes: dict[str, dict[str, probes.Probe]] = {}

    def training_metrics(self, prediction: Coded, batch: Images) -> dict[str, Tensor]:
        return {name: value for name, value in _errors(prediction).items() if name == "mse"}

    def update(self, prediction: Coded, batch: Images) -> None:
        self._seen.add(prediction, batch.y)
        self._errors.add(_errors(prediction), weight=len(batch.y))

    def compute(self) -> dict[str, float]:
        seen, self._seen = self._seen, _Codes()
        if not self._probes:
            self._probes = self._fitted()
        found = self._errors.take()
        for role, fitted in self._probes.items():
            scores = probes.score(fitted, seen.numbers(role), seen.labels())
            suffix = "" if role == "code" else f"_{role}"
            found |= {f"{name}{suffix}": value for name, value in scores.items()}
        return {name: found[name] for name in AUTOENCODING if name in found}

    def floors(self) -> dict[str, dict[str, float]]:
        """Scores the largest class, for all probes, and the mean of the training targets.

        The mean target's likelihood is that of a Gaussian of deviation 1 around it, as part
        autoencoders have it at each pixel.
        """
        counts = class_counts(self.data.train, self.classes, self.evaluation_batch)
        mean = mean_picture(self.data.train, self._targets, self.evaluation_batch)
        errors, labels = Means(), []
        for batch in self.test_dataloader():
            target = self._targets(batch)
            errors.add({"mse": (target - mean).square().mean()}, weight=len(target))
            labels.append(batch[1].cpu().numpy())
        largest = probes.largest_class(counts.cpu().numpy(), np.concatenate(labels))
        probed = [name for name in AUTOENCODING if name.startswith("lin_")]
        mse = errors.take()["mse"]
        nll = 0.5 * math.log(2 * math.pi) + 0.5 * mse
        return {
            "largest class": dict.fromkeys(probed, largest),
            "mean image": {"mse": mse, "nll": nll},
        }

    def _targets(self, batch: Batch) -> Tensor:
        """(batch, channels, height, width): what the model is to reconstruct."""
        assert isinstance(batch, Images)
        with torch.inference_mode():
            return self.model.target(batch.x)

    def on_train_epoch_start(self) -> None:
        self._probes = {}

    def _fitted(self) -> dict[str, dict[str, probes.Probe]]:
        """Probes of the code, and of the prior where there is one."""
        train = _Codes()
        order = torch.arange(len(self.data.train))
        with self._as_in_evaluation():
            for batch in Epoch(
                self.data.train, order, self.evaluation_batch, epoch=self.current_epoch
            ):
                assert isinstance(batch, Images)
                train.add(self.model.encode(batch.x), batch.y)
        return {
            role: probes.fit(
                train.numbers(role),
                train.labels(),
                classes=self.classes,
                seed=derive(self.seed, probe=role),
            )
            for role in train.roles
        }

    @contextmanager
    def _as_in_evaluation(self) -> Iterator[None]:
        """Evaluation mode, no gradients, the trainer's precision."""
        plugin = None if self._trainer is None else self.trainer.precision_plugin
        # Each module's own: a frozen base stays in evaluation mode.
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with torch.inference_mode(), plugin.forward_context() if plugin else nullcontext():
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    def pictures(self, samples: int = 8) -> dict[str, np.ndarray]:
        """Images above their reconstructions, and the variant's own pictures."""
        batch = self.first_tests(samples)
        coded = self.model(batch.x)
        if coded.reconstruction is None:
            return super().pictures(samples)
        rows = [list(coded.target), list(coded.reconstruction)]
        return {"reconstructions": grid(rows)} | super().pictures(samples)


def _errors(coded: Coded) -> dict[str, Tensor]:
    """`mse` and `nll` of a batch, those that the variant has."""
    errors = {}
    if coded.reconstruction is not None and coded.target is not None:
        errors["mse"] = (coded.reconstruction.float() - coded.target.float()).square().mean()
    if coded.log_likelihood is not None:
        assert coded.target is not None, "a likelihood is that of a target"
        errors["nll"] = -coded.log_likelihood.double().mean() / coded.target[0].numel()
    return errors


class _Codes:
    """Codes of a pass over samples, by their role in `Coded`, and the samples' labels."""

    def __init__(self) -> None:
        self._batches: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, coded: Coded, y: Tensor) -> None:
        self._batches["labels"].append(y.cpu())
        for role in ("code", "prior"):
            numbers = getattr(coded, role)
            if numbers is not None:
                self._batches[role].append(numbers.detach().double().cpu())

    @property
    def roles(self) -> list[str]:
        return [role for role in self._batches if role != "labels"]

    def numbers(self, role: str) -> np.ndarray:
        """(samples, dims) float64."""
        return torch.cat(self._batches[role]).numpy()

    def labels(self) -> np.ndarray:
        """(samples, labels) int64."""
        return torch.cat(self._batches["labels"]).numpy()
