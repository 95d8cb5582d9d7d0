"""What a run costs: parameters, FLOPs, memory."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.variant import ClipShape, Hyperparameters, ImageShape, Variant


def parameters(model: torch.nn.Module) -> int:
    """Numbers that training adjusts."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def forward_flops(
    variant: type[Variant], shape: ImageShape | ClipShape, config: Hyperparameters
) -> int:
    """FLOPs of a forward pass of one sample, by torch's counter over a model without storage."""
    with torch.device("meta"):
        model = variant(shape=shape, config=config).eval()
        size = (shape.channels, shape.height, shape.width)
        x = torch.empty(1, *((shape.past, *size) if isinstance(shape, ClipShape) else size))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
    return counter.get_total_flops()


_STATUS = Path("/proc/self/status")


def reset_peak_memory() -> None:
    """Starts a new measurement of peak memory, where the system can."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    elif _STATUS.exists():
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return  # not ours to write: the peak is then the process's


def peak_memory_bytes() -> int:
    """Peak memory since the reset: the GPU's allocations, or the process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
