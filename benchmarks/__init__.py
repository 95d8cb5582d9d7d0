"""Defines what is measured: datasets, tasks, and `run(spec) -> record`.

In Python: `from benchmarks import specify, run, load_model, RunSpec, RunRecord`. Each name is
imported at its first use, because `run` and `load_model` import PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.records.record import RunRecord
    from benchmarks.records.spec import RunSpec
    from benchmarks.runs.run import run
    from benchmarks.runs.trained import TrainedModel, load_model
    from benchmarks.specification import specify

__all__ = ["RunRecord", "RunSpec", "TrainedModel", "load_model", "run", "specify"]

_HOMES = {
    "RunRecord": "benchmarks.records.record",
    "RunSpec": "benchmarks.records.spec",
    "TrainedModel": "benchmarks.runs.trained",
    "load_model": "benchmarks.runs.trained",
    "run": "benchmarks.runs.run",
    "specify": "benchmarks.specification",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
