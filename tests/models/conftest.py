"""Limits each test process to one thread, since xdist's workers share the cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
