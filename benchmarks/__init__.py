"""Defines what is measured: datasets, tasks, and `run(spec) -> record`.

In Python: `from benchmarks import specify, run, load_model, add_variants, RunSpec, RunRecord`. Each
name is imported at its first use, because `run` and `load_model` import PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.own_variants import add_variants
    from benchmarks.records.record import RunRecord
    from benchmarks.records.spec import RunSpec
    from benchmarks.runs.run import run
    from benchmarks.runs.trained import TrainedModel, load_model
    from benchmarks.specs.specification import specify

__all__ = [
    "RunRecord",
    "RunSpec",
    "TrainedModel",
    "add_variants",
    "load_model",
    "run",
    "specify",
]

_HOMES = {
    "RunRecord": "benchmarks.records.record:RunRecord",
    "RunSpec": "benchmarks.records.spec:RunSpec",
    "TrainedModel": "benchmarks.runs.trained:TrainedModel",
    "add_variants": "benchmarks.own_variants:add_variants",
    "load_model": "benchmarks.runs.trained:load_model",
    "run": "benchmarks.runs.run:run",
    "specify": "benchmarks.specs.specification:specify",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, member = _HOMES[name].partition(":")
        return getattr(import_module(module), member)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
