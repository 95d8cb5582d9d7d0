"""Defines the base of all tasks: training step, data, optimiser and means of metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, Generic, TypeVar, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor

from benchmarks.batches import Epoch, all_pixels, evaluation_epoch, training_epoch
from benchmarks.datasets.samples import Samples
from benchmarks.datasets.task_data import TaskData
from benchmarks.records.seeds import Axes, derive_seed
from benchmarks.tasks.pictures import LabelledPicture, draw_samples
from models.layers.shares import current_share, mean_of_shares
from models.variant import Clips, Images, Points, Variant

B = TypeVar("B", Images, Clips, Points)


class Task(pl.LightningModule, Generic[B]):
    """Trains and evaluates a variant on a dataset; subclasses define the metrics.

    Before each training step, torch's global generator is seeded from (seed, epoch, step). Noise
    and augmentation therefore do not depend on earlier steps, and a resumed run equals an
    uninterrupted one. On several devices, the processes seed it differently, from their rank too.

    The training step uses Lightning's manual optimisation, because automatic optimisation spends
    time on hooks that no task has.

    Args:
        model: the model of the variant.
        data: the samples.
        seed: the seed of the run.
    """

    evaluation_batch: ClassVar[int]
    """Number of samples per evaluation batch; fixed, because it may change rounding."""
    shown: ClassVar[int] = 8
    """Number of samples in pictures."""

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
            # Lightning 2.6 sets the name of the current hook about forty times per step. torch's
            # slow search for parameters and buffers is skipped for this text. The attribute is
            # private; tests/benchmarks/test_private_interfaces.py fails if Lightning changes it.
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def transfer_batch_to_device(self, batch: B, device: torch.device, dataloader_idx: int) -> B:
        """Returns the batch unchanged, because samples are already on the model's device."""
        return batch

    @abstractmethod
    def training_metrics(self, prediction: Any, batch: B) -> dict[str, Tensor]:
        """Computes the metrics of a training batch.

        Args:
            prediction: the prediction from which the loss was computed.
            batch: the batch.

        Returns:
            Scalar tensors by name of the metric.
        """

    @abstractmethod
    def update(self, prediction: Any, batch: B) -> None:
        """Adds an evaluation batch to the metrics.

        Args:
            prediction: the prediction for the batch.
            batch: the batch.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Computes the metrics over the batches added since the last call, and resets them.

        Returns:
            The values by name of the metric.
        """

    @abstractmethod
    def floors(self) -> dict[str, dict[str, float]]:
        """Scores trivial answers on test data: what a model that learned nothing can reach.

        Returns:
            By name of the answer, its metrics by name; metrics that it cannot have are left out.
        """

    def use_all_training_samples(self) -> None:
        """Makes the metrics use all training samples, for the test of a final.

        Only a task that otherwise uses a part of the training samples for its metrics overrides
        this method.
        """

    def pictures(self, samples: int | None = None) -> dict[str, LabelledPicture]:
        """Draws pictures of the first test samples.

        Args:
            samples: number of test samples; by default `shown`.

        Returns:
            The pictures by name.
        """
        return draw_samples(self.model, self.first_test_samples(samples or self.shown))

    def samples_of(self, samples: Samples, index: Sequence[int]) -> B:
        """Gathers chosen samples on the model's device.

        Args:
            samples: the training, validation or test samples; generated samples are those of
                epoch 0.
            index: the positions of the samples.
        """
        batch = samples.gather(torch.tensor(index), 0)
        return cast(B, type(batch)(*(part.to(self.device) for part in batch)))

    def first_test_samples(self, samples: int) -> B:
        """Returns the first test samples on the model's device.

        Args:
            samples: number of test samples; all if there are fewer.
        """
        return self.samples_of(self.data.test, range(min(samples, len(self.data.test))))

    @contextmanager
    def as_in_evaluation(self) -> Iterator[None]:
        """Sets evaluation mode, without gradients, in the trainer's precision."""
        plugin = None if self._trainer is None else self.trainer.precision_plugin
        # Each module gets its own mode back, because a frozen base stays in evaluation mode.
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with torch.inference_mode(), plugin.forward_context() if plugin else nullcontext():
                yield
        finally:
            for module, mode in modes:
                module.training = mode

    def configure_optimizers(self) -> Any:
        if self.optimization is None:
            return None
        if self.optimization.scheduler is None:
            return self.optimization.optimizer
        return [self.optimization.optimizer], [self.optimization.scheduler]

    def fit_model(self) -> None:
        """Fits a variant that is not trained by gradients on all training samples."""
        if type(self.model).fit is not Variant.fit:
            self.model.fit(all_pixels(self.data.train, batch_size=self.evaluation_batch))

    def train_dataloader(self) -> Epoch:
        return training_epoch(
            self.data.train,
            batch_size=self.model.config.batch_size,
            seed=self.seed,
            epoch=self.current_epoch,
            first_step=self._training.weight,
        )

    def val_dataloader(self) -> Epoch | list[Epoch]:
        """Returns the batches of the validation data.

        Without validation data, returns an empty list, for which Lightning skips validation.
        """
        if self.data.validation is None:
            return []
        return evaluation_epoch(self.data.validation, batch_size=self.evaluation_batch)

    def test_dataloader(self) -> Epoch:
        return evaluation_epoch(self.data.test, batch_size=self.evaluation_batch)

    def on_train_batch_start(self, batch: B, batch_idx: int) -> None:
        share = current_share()
        axes: Axes = {"epoch": self.current_epoch, "step": batch_idx}
        if share.devices > 1:
            axes["rank"] = share.rank
        seed = derive_seed(self.seed, **axes)
        # torch.manual_seed would format a stack trace for each backend that is not in use.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the number of steps and the metrics of the current epoch to a checkpoint."""
        checkpoint["training_means"] = self._training.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._training.load_state_dict(checkpoint["training_means"])

    def training_step(self, batch: B, batch_idx: int) -> Tensor:
        recipe = self.optimization
        assert recipe is not None
        recipe.optimizer.zero_grad()
        losses, prediction = self._losses(batch)
        with torch.autocast(self.device.type, enabled=False):  # only for the forward pass
            self.manual_backward(losses["loss"])  # which also averages over devices
        cast(LightningOptimizer, self.optimizers()).step()  # which also counts the steps
        if recipe.scheduler is not None:
            recipe.scheduler.step()
        with torch.no_grad():
            values = mean_of_shares(losses | self.training_metrics(prediction, batch))
            self._training.add(values)
        return values["loss"].detach()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradients, after the scale of float16's gradients is taken out of them."""
        assert self.optimization is not None
        self.optimization.clip(self.model)

    def _losses(self, batch: B) -> tuple[dict[str, Tensor], Any]:
        """Returns the loss and its terms by name (`loss`, `loss/<term>`), and the prediction."""
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
        """Returns losses and metrics of the epoch by name, as means over steps, and resets them."""
        return self._training.take()

    def running_mean(self, name: str) -> float | None:
        """Returns the mean of a metric over the steps of the epoch so far; None if it has none.

        Args:
            name: the name of the metric, such as `accuracy`.
        """
        return self._training.mean(name)

    def evaluation_losses(self) -> dict[str, float]:
        """Returns the losses of the evaluation by name, as means over samples, and resets them."""
        return self._evaluation.take()


class Means:
    """Computes weighted means by name, in double precision, on a CUDA GPU or on the CPU."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor | float] = defaultdict(float)
        self.weight = 0

    def add(self, values: dict[str, Tensor], weight: int = 1) -> None:
        for name, value in values.items():
            # On a GPU `item` waits for the value; on a CPU `item` is the fastest way.
            number = value.detach().double() if value.is_cuda else value.item()
            self._sums[name] = self._sums[name] + weight * number
        self.weight += weight

    def mean(self, name: str) -> float | None:
        return float(self._sums[name]) / self.weight if name in self._sums else None

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
