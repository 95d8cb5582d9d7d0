"""Trains a prepared run with Lightning, under process-wide settings that make it reproducible."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.profilers import PassThroughProfiler

from benchmarks.records.spec import RunSpec
from benchmarks.runs.evaluation import score_on_validation
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import Prepared


def make_trainer(
    spec: RunSpec,
    journal: Journal | None = None,
    callbacks: Sequence[pl.Callback] = (),
    *,
    debug: bool = False,
) -> pl.Trainer:
    """Makes Lightning's trainer for a run: to train it on one device, and to evaluate it.

    Args:
        spec: the spec of the run.
        journal: the callback that writes the run's metrics and checkpoints; None: nothing is
            written, for an evaluation without training.
        callbacks: further callbacks, such as a progress bar.
        debug: whether autograd's anomaly detection is on.

    Returns:
        The trainer.
    """
    return pl.Trainer(
        **options_of(spec, [*([] if journal is None else [journal]), *callbacks], debug=debug),
        devices=1,
        plugins=[one_process(), *([] if journal is None else [journal.checkpoints])],
    )


def options_of(
    spec: RunSpec, callbacks: Sequence[pl.Callback], *, debug: bool = False
) -> dict[str, Any]:
    """Lists the arguments that all trainers of a run have.

    Args:
        spec: the spec of the run.
        callbacks: all callbacks of the trainer.
        debug: whether autograd's anomaly detection is on.

    Returns:
        Arguments of `pl.Trainer` by name.
    """
    return {
        "accelerator": spec.device,
        "precision": spec.precision,
        "max_epochs": spec.budget.epochs,
        "deterministic": spec.deterministic,
        "detect_anomaly": debug,
        "reload_dataloaders_every_n_epochs": 1,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        "enable_model_summary": False,
        "callbacks": list(callbacks),
        "profiler": _Unprofiled(),
    }


def one_process() -> LightningEnvironment:
    """Makes the environment of a training of one process, for `plugins` of Lightning's trainer.

    Without it, Lightning 2.6 reads the variables of Slurm, LSF and torchrun (`SLURM_NTASKS`, `RANK`
    and others): it refuses to train in an allocation of several tasks, stores nothing in a process
    of a rank above 0, and warns where it finds a command `srun`.

    Returns:
        The environment; this process has rank 0 from now on.
    """
    environment = LightningEnvironment()
    environment.set_global_rank(0)
    return environment


Fit = Callable[[Prepared, pl.Trainer, Journal], dict[str, float]]
"""Gives the model of a prepared run its trained weights. Returns the metrics of the last epoch by
name, such as `train/loss` and `validation/accuracy`."""


def fit_model(prepared: Prepared, trainer: pl.Trainer, journal: Journal) -> dict[str, float]:
    """Trains the model of a prepared run.

    A model that is trained by gradients resumes from the newest usable checkpoint if there is one.

    Args:
        prepared: the run before its first training step.
        trainer: the trainer of the run.
        journal: knows the checkpoints of the run.

    Returns:
        The metrics of the last epoch by name.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed twice.
        Interrupted: if SIGTERM or Ctrl-C ended the training, after a checkpoint.
    """
    if not prepared.model.trainable:
        prepared.task.fit_model()
        return score_on_validation(prepared, trainer)
    train(prepared, trainer, journal.checkpoints.newest())
    return dict(journal.history[-1]["metrics"])


def train(prepared: Prepared, trainer: pl.Trainer, checkpoint: Path | None) -> None:
    """Trains the model of a prepared run by gradients, from a checkpoint if there is one.

    Args:
        prepared: the run before its first training step.
        trainer: trains it.
        checkpoint: the path of a checkpoint of the run, if there is one.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed twice.
        Interrupted: if SIGTERM or Ctrl-C ended the training, after a checkpoint.
    """
    try:
        trainer.fit(prepared.task, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        # Lightning 2.6 turns a KeyboardInterrupt into a SystemExit.
        raise KeyboardInterrupt from None


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Applies process-wide settings under which equal specs give bit-equal records.

    At the end of the context, the number of threads, cuDNN's TF32 flag and Lightning's detection of
    Slurm are restored; the other settings stay.

    Args:
        threads: number of CPU threads; sums are split by threads, so rounding depends on them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    # By default, cuDNN's convolutions round float32 factors to TF32, with a mantissa of 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    # Lightning 2.6 looks for Slurm although `one_process` names another environment. In a job step
    # it would then load a file `hpc_ckpt_1.ckpt` of another project from the current folder.
    detect = SLURMEnvironment.detect
    SLURMEnvironment.detect = staticmethod(_not_detected)  # type: ignore[method-assign]
    gc.freeze()  # the collection at the end then visits only objects that the run made
    torch.set_num_threads(threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # No model reads memory before writing it, and filling new memory takes a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            # Lightning advises data loaders with worker processes, which are not needed here.
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
            # The first step may be skipped to find a scale for float16's gradients.
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler.step\(\)`")
            yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.allow_tf32 = tf32
        SLURMEnvironment.detect = staticmethod(detect)  # type: ignore[method-assign]
        gc.collect()


def _not_detected() -> bool:
    return False


class _Unprofiled(PassThroughProfiler):
    """Replaces Lightning's profiler and measures nothing.

    Lightning 2.6 asks a profiler for about fifty contexts per step; all get one empty context.
    """

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return _NOTHING


_NOTHING = nullcontext()
