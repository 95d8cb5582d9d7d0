"""Limits torch to one thread per test process, because the workers of xdist share the cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
