"""Seeds torch before each test, and limits each test process to one thread.

The workers of xdist share the cores.
"""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
