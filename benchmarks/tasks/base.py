"""The training step that all tasks share."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmarks.batches import Epoch, evaluation_epoch, training_epoch
from benchmarks.protocol import TaskData
from benchmarks.seeds import derive
from benchmarks.spec import Direction
from models.variant import Clips, Images, Variant

B = TypeVar("B", Images, Clips)


class Task(pl.LightningModule, Generic[B]):
    """A variant at work on a dataset.

    Before each training step torch's global generator is seeded from (seed, epoch, step): noise
    and augmentation do not depend on what ran before, so that a resumed run equals an
    uninterrupted one.
    """

    evaluation_batch: ClassVar[int]
    """Samples in an evaluation batch; fixed, since it may decide bits."""

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__()
        self.model = model
        self.data = data
        self.seed = seed
        self.optimization = model.optimization() if model.trainable else None
        self._sums: dict[str, Tensor | float] = defaultdict(float)
        self._steps = 0

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":
            # Lightning's note of the hook under way, some forty times a step: no parameter,
            # so torch's search for one is spared.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(self, batch: B, device: torch.device, dataloader_idx: int) -> B:
        """Nothing to do: samples are cut where the model is."""
        return batch

    @staticmethod
    @abstractmethod
    def directions(dataset: str) -> dict[str, Direction]:
        """The metrics and which way each is better.

        The first is the primary one, which studies optimise and leaderboards show.
        """

    @abstractmethod
    def training_metrics(self, prediction: Tensor, batch: B) -> dict[str, Tensor]:
        """Metrics of a training batch, from the prediction that its loss was computed of."""

    @abstractmethod
    def update(self, batch: B) -> None:
        """Adds an evaluation batch to the metrics."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The metrics of all batches since the last call, which forgets them."""

    @abstractmethod
    def pictures(self, samples: int = 8) -> dict[str, np.ndarray]:
        """Pictures of the first test samples by name: (height, width[, 3]) uint8."""

    def configure_optimizers(self) -> Any:
        if self.optimization is None:
            return None
        if self.optimization.scheduler is None:
            return self.optimization.optimizer
        schedule = {"scheduler": self.optimization.scheduler, "interval": "step"}
        return {"optimizer": self.optimization.optimizer, "lr_scheduler": schedule}

    def train_dataloader(self) -> Epoch:
        return training_epoch(
            self.data.train,
            batch_size=self.model.config.batch_size,
            seed=self.seed,
            epoch=self.current_epoch,
        )

    def val_dataloader(self) -> Epoch:
        return evaluation_epoch(self.data.validation, batch_size=self.evaluation_batch)

    def test_dataloader(self) -> Epoch:
        return evaluation_epoch(self.data.test, batch_size=self.evaluation_batch)

    def on_train_batch_start(self, batch: B, batch_idx: int) -> None:
        seed = derive(self.seed, epoch=self.current_epoch, step=batch_idx)
        # Not torch.manual_seed, which formats a stack trace for each backend that is not in use.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: B, batch_idx: int) -> Tensor:
        terms, prediction = self.model.loss(batch)
        weights = self.model.loss_weights
        total = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
        with torch.no_grad():
            self._count({"loss": total, **{f"loss/{name}": t for name, t in terms.items()}})
            self._count(self.training_metrics(prediction, batch))
            self._steps += 1
        return total

    def _count(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value.detach().double()

    def collect(self) -> dict[str, float]:
        """The training metrics of the epoch, means over its steps, which are then forgotten."""
        means = {f"train/{name}": float(s) / self._steps for name, s in self._sums.items()}
        self._sums.clear()
        self._steps = 0
        return means

    def validation_step(self, batch: B, batch_idx: int) -> None:
        self.update(batch)

    test_step = validation_step
