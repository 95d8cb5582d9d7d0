"""Runs a search as people write one without this project, so that `sweep-speed` can time it.

Optuna's loop calls a stock Lightning trainer: a data loader over tensors in memory, metrics logged
at each step and epoch, checkpoints, and an offline Weights & Biases run per trial. Model, data,
budget and ranges are those of the profile quick.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import WandbLogger
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import datasets
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.samples import StillSamples
from benchmarks.runs.training import one_process
from benchmarks.specs.profiles import ProfileName, load_profile
from models import registry
from models.variant import Images, Variant
from sweeps.studies import space


class PlainModule(pl.LightningModule):
    """Trains a classifier in the way of Lightning's tutorials."""

    def __init__(self, model: Variant) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return self._step("train", batch)

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self._step("validation", batch)

    def _step(self, part: str, batch: list[torch.Tensor]) -> torch.Tensor:
        x, y = batch
        terms, scores = self.model.loss(Images(x, y))
        loss = self.model.total(terms)
        accuracy = (scores.argmax(1) == y[:, 0]).float().mean()
        self.log_dict({f"{part}_loss": loss, f"{part}_accuracy": accuracy}, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        recipe = self.model.optimization()
        if recipe.scheduler is None:
            return recipe.optimizer
        schedule = {"scheduler": recipe.scheduler, "interval": "step"}
        return {"optimizer": recipe.optimizer, "lr_scheduler": schedule}


class PruningCallback(pl.Callback):
    """Prunes a run after an epoch if Optuna's pruner decides so."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            accuracy = float(trainer.callback_metrics["validation_accuracy"])
            self._trial.report(accuracy, trainer.current_epoch + 1)
            if self._trial.should_prune():
                raise optuna.TrialPruned


def run_plain_study(
    variant: str, dataset: str, trials: int, data: str, folder: str, pruned: bool
) -> list[float]:
    """Runs a study of a plain script.

    Args:
        variant: the name of the variant.
        dataset: the name of the dataset.
        trials: the number of trials.
        data: the path of the folder of the datasets.
        folder: the path of an empty folder for the study and the W&B runs.
        pruned: whether trials are pruned.

    Returns:
        The time at the end of each trial, in seconds since the epoch.
    """
    profile = load_profile(ProfileName.quick)
    torch.set_num_threads(profile.threads)
    cls = registry.variant(variant)
    searched = space.load_space(variant, cls, ProfileName.quick, dataset=dataset)
    budget = searched.budget(profile, "trial")
    samples = datasets.find(dataset).load(
        "classification", budget=budget, source=DataSource(Path(data)), seed=0
    )
    train, validation = _tensors(samples.train), _tensors(samples.validation)
    ends: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        pl.seed_everything(trial.number, verbose=False)
        searched.suggest(trial)
        config = cls.Config.model_validate(searched.resolve(trial.params))
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=budget.epochs,
            deterministic=True,
            logger=WandbLogger(project="plain", offline=True, save_dir=folder),
            callbacks=[PruningCallback(trial)] if pruned else [],
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[one_process()],
        )
        try:
            trainer.fit(
                PlainModule(cls(shape=samples.shape, config=config)),
                DataLoader(train, config.batch_size, shuffle=True, drop_last=True),
                DataLoader(validation, config.batch_size),
            )
        finally:
            wandb.finish()
            ends.append(time.time())
        return float(trainer.callback_metrics["validation_accuracy"])

    found = optuna.create_study(
        direction="maximize",
        storage=f"sqlite:///{folder}/study.db",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(profile.startup, profile.warmup + 1),
    )
    found.optimize(objective, n_trials=trials)
    return ends


def _tensors(samples: Any) -> TensorDataset:
    assert isinstance(samples, StillSamples)
    return TensorDataset(samples.images.float() / 255, samples.labels[:, None])


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    print(json.dumps(run_plain_study(**arguments)))
