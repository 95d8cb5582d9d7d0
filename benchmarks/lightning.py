"""Imports Lightning in two thirds of the usual time."""

from __future__ import annotations

import sys
from types import ModuleType


def import_lightning() -> None:
    """Imports Lightning without `scipy.signal`, whose import takes most of a second.

    torchmetrics 1.9 imports `scipy.signal` only to restore an old name in it, which capsbench does
    not use.
    """
    name = "scipy.signal"
    if name not in sys.modules:
        empty = ModuleType(name)
        empty.hamming = None  # type: ignore[attr-defined]
        sys.modules[name] = empty
        try:
            import torchmetrics  # noqa: F401
        finally:
            del sys.modules[name]
    import pytorch_lightning  # noqa: F401
