"""The training of a prepared run: Lightning's trainer, and settings under which bits repeat."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import PassThroughProfiler

from benchmarks.records.spec import RunSpec
from benchmarks.runs.journal import Journal
from benchmarks.tasks import Task


def make_trainer(
    spec: RunSpec, journal: Journal, callbacks: Sequence[pl.Callback] = (), *, debug: bool = False
) -> pl.Trainer:
    """Makes the trainer of a run, on one device.

    Args:
        spec: of the run.
        journal: writes the run's metrics and checkpoints.
        callbacks: further ones, such as a progress bar.
        debug: whether autograd's anomaly detection is on.
    """
    return pl.Trainer(
        accelerator="cpu" if spec.device == "cpu" else "gpu",
        devices=1,
        precision=spec.precision,
        max_epochs=spec.budget.epochs,
        deterministic=spec.deterministic,
        detect_anomaly=debug,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        enable_model_summary=False,
        callbacks=[journal, *callbacks],
        plugins=[journal.checkpoints],
        profiler=_Unprofiled(),
    )


def fit_task(trainer: pl.Trainer, task: Task[Any], journal: Journal) -> None:
    """Trains, from the newest checkpoint if there is one.

    Raises:
        KeyboardInterrupt: if Ctrl-C was pressed twice.
    """
    try:
        trainer.fit(task, ckpt_path=journal.checkpoints.newest(), weights_only=True)
    except SystemExit:
        # Lightning's answer to Ctrl-C.
        raise KeyboardInterrupt from None


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Applies the process-wide settings under which equal specs give equal bits.

    Args:
        threads: of a CPU; sums are cut by threads.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    # Float32 is float32: on a GPU, convolutions would otherwise round factors to TF32's 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    gc.freeze()  # so that the collection at the end looks at what the run made, and at no more
    torch.set_num_threads(threads)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # No code here reads memory before it is written; filling it costs a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            # Advice on data loaders with worker processes, which these batches don't need.
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
            yield
    finally:
        torch.set_num_threads(before)
        torch.backends.cudnn.allow_tf32 = tf32
        gc.collect()


class _Unprofiled(PassThroughProfiler):
    """Lightning asks for a context some fifty times per step: always the same one."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return _NOTHING


_NOTHING = nullcontext()
