"""What workers need, imported by the server that they are forked from, and by nobody else.

No thread may be started here, and no device be touched: a fork has neither.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from functools import partial
from importlib import import_module
from types import FrameType

from benchmarks.lightning import import_lightning
from benchmarks.weights_and_biases import import_wandb

_SERVER, _DRIVER = os.getpid(), os.getppid()


def _answer(signum: int, frame: FrameType | None) -> None:
    """Ends a worker that has not begun. The server itself ends with its driver, and after it."""
    if os.getpid() != _SERVER:
        os._exit(128 + signum)


# Both may reach every process at once: from a terminal, or from a scheduler that ends a job.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, _answer)

for _step in (
    partial(import_module, "torch"),
    partial(import_module, "optuna"),
    import_lightning,
    import_wandb,
    partial(import_module, "benchmarks.runs.run"),
    partial(import_module, "sweeps.engines"),
    partial(import_module, "sweeps.pruners"),
    partial(import_module, "sweeps.watchdog"),
):
    if os.getppid() != _DRIVER:
        os._exit(1)  # it has left meanwhile
    with contextlib.suppress(Exception):  # a worker imports it again, and says what is wrong
        _step()
gc.collect()
gc.freeze()  # a collection in a worker would copy what it shares with the others
