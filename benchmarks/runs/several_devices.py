"""Trains a run on several devices, one process per device, with Lightning's DDP.

Each process holds the data and the model, computes its share of every batch, and applies the same
averaged gradients. The first process is that of the run. It alone evaluates and writes, as on one
device, while the others wait for its next training step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor

from benchmarks import own_variants
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.spec import RunSpec
from benchmarks.runs import training
from benchmarks.runs.checkpoints import Checkpoints
from benchmarks.runs.device_processes import further_processes
from benchmarks.runs.journal import Journal
from benchmarks.runs.preparation import Prepared, load_data, prepare
from benchmarks.tasks import Task
from models.layers.shared_norm import share_batch_norms
from models.layers.shares import Share, average_gradients, sharing

FOREVER = timedelta(days=30)
"""How long a process waits for another: an evaluation may take hours. Processes that end are
noticed otherwise."""


def fit_model(
    prepared: Prepared,
    trainer: pl.Trainer,
    journal: Journal,
    *,
    source: DataSource,
    callbacks: Sequence[pl.Callback],
    debug: bool,
) -> dict[str, float]:
    """Trains the model of a prepared run on several devices.

    Args:
        prepared: the run before its first training step.
        trainer: evaluates the run afterwards.
        journal: knows the checkpoints of the run.
        source: where the data is.
        callbacks: further callbacks of the training.
        debug: whether autograd's anomaly detection is on.

    Returns:
        The metrics of the last epoch by name.

    Raises:
        InputError: if the devices cannot have equal shares of the batches, the model is not
            trained by gradients, or the machine has too few GPUs.
        LostDeviceError: if another process of the run was killed.
        KeyboardInterrupt: if Ctrl-C was pressed twice.
        Interrupted: if SIGTERM or Ctrl-C ended the training, after a checkpoint.
    """
    spec = prepared.spec
    _require_possible(prepared)
    checkpoint = journal.checkpoints.newest()
    store = dist.TCPStore("127.0.0.1", 0, spec.devices, True, FOREVER, wait_for_workers=False)
    work = _Work(spec, source, prepared.folder, checkpoint, store.port, debug)
    with further_processes(spec.devices - 1, work) as others:
        others.await_ready()
        share = Share(0, spec.devices)
        own = _trainer(spec, share, [journal, *callbacks], journal.checkpoints, debug=debug)
        _train(prepared, own, checkpoint, share, store)
    # The task asks the trainer of an evaluation for the number of finished epochs.
    trainer.fit_loop.epoch_progress.current.completed = len(journal.history)
    return dict(journal.history[-1]["metrics"])


@dataclass(frozen=True)
class _Work:
    """Holds what a further process needs; calling it trains the share of the process."""

    spec: RunSpec
    source: DataSource
    folder: RunFolder
    checkpoint: Path | None
    port: int
    """The port of the store through which the processes find each other on this machine."""
    debug: bool

    def __call__(self, rank: int, ready: Callable[[], None]) -> None:
        spec, share = self.spec, Share(rank, self.spec.devices)
        if spec.device == "cuda":
            torch.cuda.set_device(rank)
        for part in (spec, *([spec.base] if spec.base else [])):
            own_variants.provide(self.folder.path.parents[1], part.variant_sha256)
        with training.deterministic(spec.threads):
            prepared = prepare(spec, load_data(spec, self.source), self.folder)
            store = dist.TCPStore("127.0.0.1", self.port, spec.devices, False, FOREVER)
            ready()
            checkpoints = Checkpoints(self.folder.path)
            trainer = _trainer(
                spec, share, [_Resetting()], checkpoints, debug=self.debug, limit_val_batches=0
            )
            _train(prepared, trainer, self.checkpoint, share, store)


class _Resetting(pl.Callback):
    """Resets the means of an epoch, which the journal of the first process reads."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        pl_module.training_means()


def _train(
    prepared: Prepared,
    trainer: pl.Trainer,
    checkpoint: Path | None,
    share: Share,
    store: dist.Store,
) -> None:
    """Trains the share of this process."""
    share_batch_norms(prepared.model)
    with _process_group(prepared.spec, share, store), sharing(share):
        training.train(prepared, trainer, checkpoint)


@contextmanager
def _process_group(spec: RunSpec, share: Share, store: dist.Store) -> Iterator[None]:
    """Connects the processes of a run."""
    gpu = spec.device == "cuda"
    dist.init_process_group(
        "nccl" if gpu else "gloo",
        store=store,
        rank=share.rank,
        world_size=share.devices,
        timeout=FOREVER,
        device_id=torch.device("cuda", share.rank) if gpu else None,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _trainer(
    spec: RunSpec,
    share: Share,
    callbacks: Sequence[pl.Callback],
    checkpoints: Checkpoints,
    *,
    debug: bool,
    **options: Any,
) -> pl.Trainer:
    """Makes the trainer of one process: to Lightning, each process is a node with one device."""
    trainer = pl.Trainer(
        **training.options_of(spec, callbacks, debug=debug),
        **options,
        devices=[share.rank] if spec.device == "cuda" else 1,
        num_nodes=share.devices,
        strategy=_Together(),
        plugins=[_Member(share), checkpoints],
        use_distributed_sampler=False,
    )
    # Lightning 2.6 broadcasts from inside its SIGTERM handler, in the middle of any other exchange.
    # The method is private; tests/benchmarks/test_private_interfaces.py fails if it changes.
    signals = trainer._signal_connector  # noqa: SLF001
    signals.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


class _Member(LightningEnvironment):
    """Tells Lightning the rank of this process."""

    def __init__(self, share: Share) -> None:
        super().__init__()
        self._share = share

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def node_rank(self) -> int:
        return self._share.rank

    def local_rank(self) -> int:
        return 0


class _Together(DDPStrategy):
    """Averages gradients in an order that never changes, and exchanges nothing else.

    torch's wrapper, which this strategy leaves out, sums gradients in buckets. After the first step
    it makes other buckets, so the sums of a resumed run of three devices would be rounded in
    another order. Only the first process evaluates and writes files, so the processes need not
    wait for each other elsewhere.
    """

    def configure_ddp(self) -> None:
        assert self.model is not None
        for tensor in self.model.state_dict().values():
            dist.broadcast(tensor, 0)

    def pre_backward(self, closure_loss: Tensor) -> None:
        """Prepares nothing, since there is no wrapper."""

    def post_backward(self, closure_loss: Tensor) -> None:
        assert self.model is not None
        average_gradients(self.model.parameters())

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Waits for no process."""

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj

    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        return tensor


def _require_possible(prepared: Prepared) -> None:
    spec, size = prepared.spec, prepared.model.config.batch_size
    if not prepared.model.trainable:
        raise InputError(f"{spec.variant} is not trained by gradients: leave --devices out")
    samples = min(size, len(prepared.data.train))
    if samples % spec.devices:
        raise InputError(
            f"{spec.devices} devices cannot have equal shares of {samples} training samples: give "
            "more samples, or another number of --devices"
        )
    if spec.device == "cuda" and (found := torch.cuda.device_count()) < spec.devices:
        raise InputError(
            f"run {spec.run_id} is on {spec.devices} GPUs, but this machine has {found}: make it "
            "on a machine with as many"
        )
