"""The training step that all tasks share."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor

from benchmarks.batches import Epoch, evaluation_epoch, pixels_of, training_epoch
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.seeds import derive_seed
from benchmarks.tasks.picture_grid import grid
from models.variant import Clips, Images, Points, Variant

B = TypeVar("B", Images, Clips, Points)


class Task(pl.LightningModule, Generic[B]):
    """A variant at work on a dataset.

    Before each training step torch's global generator is seeded from (seed, epoch, step): noise
    and augmentation do not depend on what ran before, so that a resumed run equals an
    uninterrupted one.

    The step is written out (Lightning's manual optimisation): its automatic one spends time on
    hooks that nothing here has.
    """

    evaluation_batch: ClassVar[int]
    """Samples in an evaluation batch; fixed, since it may decide bits."""

    def __init__(self, model: Variant, data: TaskData, *, seed: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.data = data
        self.seed = seed
        self.optimization = model.optimization() if model.trainable else None
        self._training = Means()
        self._evaluation = Means()

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

    @abstractmethod
    def training_metrics(self, prediction: Any, batch: B) -> dict[str, Tensor]:
        """Metrics of a training batch, from the prediction that its loss was computed of."""

    @abstractmethod
    def update(self, prediction: Any, batch: B) -> None:
        """Adds an evaluation batch to the metrics."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The metrics of all evaluation batches since the last call, which forgets them."""

    @abstractmethod
    def floors(self) -> dict[str, dict[str, float]]:
        """Scores trivial answers on the test data: what a model that learned nothing could reach.

        Returns:
            By the answer's name, its metrics: those of `compute` that it has.
        """

    def use_all_training_samples(self) -> None:
        """Prepares for the test of a final: what reads a part of the training data reads all."""

    def pictures(self, samples: int = 8) -> dict[str, np.ndarray]:
        """Pictures of the first test samples by name: (height, width[, 3]) uint8."""
        shown = self.model.pictures(self.first_test_samples(samples))
        return {name: grid(rows) for name, rows in shown.items()}

    def first_test_samples(self, samples: int) -> B:
        """The first test samples, where the model is."""
        batch = self.data.test.gather(torch.arange(min(samples, len(self.data.test))), 0)
        return cast(B, type(batch)(*(part.to(self.device) for part in batch)))

    def configure_optimizers(self) -> Any:
        if self.optimization is None:
            return None
        if self.optimization.scheduler is None:
            return self.optimization.optimizer
        return [self.optimization.optimizer], [self.optimization.scheduler]

    def fit_model(self) -> None:
        """Fits a variant that is not trained by gradients on all training samples."""
        if type(self.model).fit is not Variant.fit:
            self.model.fit(pixels_of(self.data.train, batch_size=self.evaluation_batch))

    def train_dataloader(self) -> Epoch:
        return training_epoch(
            self.data.train,
            batch_size=self.model.config.batch_size,
            seed=self.seed,
            epoch=self.current_epoch,
            first_step=self._training.weight,
        )

    def val_dataloader(self) -> Epoch | list[Epoch]:
        """Batches of the validation data; an empty list, which skips validation, without any."""
        if self.data.validation is None:
            return []
        return evaluation_epoch(self.data.validation, batch_size=self.evaluation_batch)

    def test_dataloader(self) -> Epoch:
        return evaluation_epoch(self.data.test, batch_size=self.evaluation_batch)

    def on_train_batch_start(self, batch: B, batch_idx: int) -> None:
        seed = derive_seed(self.seed, epoch=self.current_epoch, step=batch_idx)
        # Not torch.manual_seed, which formats a stack trace for each backend that is not in use.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the epoch under way has so far: its steps and their means."""
        checkpoint["training_means"] = self._training.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._training.load_state_dict(checkpoint["training_means"])

    def training_step(self, batch: B, batch_idx: int) -> Tensor:
        recipe = self.optimization
        assert recipe is not None
        recipe.optimizer.zero_grad()
        losses, prediction = self._losses(batch)
        with torch.autocast(self.device.type, enabled=False):  # of the forward pass only
            losses["loss"].backward()
        recipe.clip(self.model)
        cast(LightningOptimizer, self.optimizers()).step()  # which also counts the steps
        if recipe.scheduler is not None:
            recipe.scheduler.step()
        with torch.no_grad():
            self._training.add(losses | self.training_metrics(prediction, batch))
        return losses["loss"].detach()

    def _losses(self, batch: B) -> tuple[dict[str, Tensor], Any]:
        """The weighted sum of the loss terms, the terms by name, and the prediction."""
        terms, prediction = self.model.loss(batch)
        return {
            "loss": self.model.total(terms),
            **{f"loss/{name}": t for name, t in terms.items()},
        }, prediction

    def validation_step(self, batch: B, batch_idx: int) -> None:
        losses, prediction = self._losses(batch)
        self._evaluation.add(losses, weight=len(batch[0]))
        self.update(prediction, batch)

    test_step = validation_step

    def training_means(self) -> dict[str, float]:
        """Losses and metrics of the epoch, means over its steps, which are then forgotten."""
        return self._training.take()

    def evaluation_losses(self) -> dict[str, float]:
        """Losses of the evaluation batches, means over samples, which are then forgotten."""
        return self._evaluation.take()


class Means:
    """Weighted means by name, summed where the values lie, in double precision."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = defaultdict(float)
        self.weight = 0

    def add(self, values: dict[str, Tensor], weight: int = 1) -> None:
        for name, value in values.items():
            # On a GPU looking at a number waits for it; elsewhere it is the fastest way.
            number = value.detach().double() if value.is_cuda else value.item()
            self._sums[name] = self._sums[name] + weight * number
        self.weight += weight

    def take(self) -> dict[str, float]:
        means = {name: float(total) / self.weight for name, total in self._sums.items()}
        self._sums.clear()
        self.weight = 0
        return means

    def state_dict(self) -> dict[str, Any]:
        sums = {name: float(total) for name, total in self._sums.items()}
        return {"sums": sums, "weight": self.weight}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums.clear()
        self._sums.update(state_dict["sums"])
        self.weight = state_dict["weight"]
