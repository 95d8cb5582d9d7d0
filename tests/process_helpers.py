"""Helps tests that start other processes."""

from __future__ import annotations

from pathlib import Path


def alive(process: int) -> bool:
    """Returns whether a process exists and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
