"""Measures what a run costs: parameters, FLOPs and memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from models.variant import ClipShape, PointShape, Shape, Variant


def count_parameters_and_flops(build: Callable[[], Variant], shape: Shape) -> dict[str, int]:
    """Counts the parameters of a model and the FLOPs of its forward pass on one sample.

    The model is built on PyTorch's meta device, where tensors need no memory.

    Args:
        build: builds the model.
        shape: the shape of a sample.

    Returns:
        `parameters`, the number of trainable parameters, and `flops_per_sample`, as PyTorch's
        FLOP counter counts.
    """
    with torch.device("meta"):
        model = build().eval()
        x = torch.empty(1, *sample_size(shape))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
    return {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "flops_per_sample": counter.get_total_flops(),
    }


def sample_size(shape: Shape) -> tuple[int, ...]:
    """Returns the size of the input that a model takes for one sample.

    Args:
        shape: the shape of a sample.

    Returns:
        (channels, height, width); for prediction (past frames, channels, height, width); for sets
        of points (points, 3).
    """
    if isinstance(shape, PointShape):
        return shape.points, 3
    frame = (shape.channels, shape.height, shape.width)
    return (shape.past, *frame) if isinstance(shape, ClipShape) else frame


_STATUS = Path("/proc/self/status")


def reset_peak_memory(device: str = "cpu") -> None:
    """Resets the peak memory of the GPU, or of this process where Linux allows it.

    Args:
        device: `cpu` or `cuda`.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _STATUS.exists():
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return  # in some containers the file is read-only; the peak is then the process's


def peak_memory_bytes(device: str = "cpu") -> int:
    """Returns the peak memory since the last reset, in bytes.

    Args:
        device: on `cuda`, the memory that PyTorch allocated on the GPU; on `cpu`, the resident
            memory of this process, or its peak since the start where there was no reset.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
