"""Imports what workers need, in the server process from which they are forked.

Only that server imports this module. It must start no thread and use no device, because a forked
process inherits neither.
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
    """Ends a forked worker that has not begun yet; the server ignores the signal.

    The server ends after its driver.
    """
    if os.getpid() != _SERVER:
        os._exit(128 + signum)


# Both signals may reach all processes at once: a terminal sends SIGINT to all, and a batch system
# that ends a job SIGTERM.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, _answer)

for _step in (
    partial(import_module, "torch"),
    partial(import_module, "optuna"),
    import_lightning,
    import_wandb,
    partial(import_module, "benchmarks.runs.run"),
    partial(import_module, "sweeps.engines"),
    partial(import_module, "sweeps.studies.pruners"),
    partial(import_module, "sweeps.watchdog"),
):
    if os.getppid() != _DRIVER:
        os._exit(1)  # the driver has ended meanwhile
    with contextlib.suppress(Exception):  # a worker repeats the import, and reports the error
        _step()
gc.collect()
gc.freeze()  # a garbage collection in a worker would copy the memory that workers share
