"""Multiplies large float32 matrices in its own process, to show what the machine can do."""

from __future__ import annotations

import torch

from tests.tools.peers.turn import serve

SIDE = 3072

if __name__ == "__main__":
    factor = torch.rand(SIDE, SIDE)
    serve(lambda: torch.mm(factor, factor), 1, flops=2 * SIDE**3)
