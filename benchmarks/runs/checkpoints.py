"""A run's checkpoints: the last one and the one before, each whole or not there.

A file is a line of JSON, which tells what follows (its SHA-256, the code that wrote it, the step),
and what `torch.save` makes of tensors and plain values.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from benchmarks.provenance import code_version
from benchmarks.records.atomic_files import flush, replacing


class Checkpoints(CheckpointIO):
    """Lightning's way to a run's checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = folder / "last.ckpt"
        self.previous = folder / "previous.ckpt"

    def newest(self) -> Path | None:
        """The newest checkpoint that serves; None where there is none.

        Another is set aside, and said: a damaged one, or one that other code wrote.
        """
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            if (why := _fault(path)) is None:
                return path
            aside = path.with_suffix(".unused")
            path.replace(aside)
            print(
                f"capsbench: {path} {why}: the run goes on from the checkpoint before, or begins "
                f"anew; the file is kept as {aside.name}",
                file=sys.stderr,
            )
        return None

    def step(self) -> int:
        """The step of the last checkpoint, 0 where there is none."""
        for path in (self.last, self.previous):
            if path.exists() and _fault(path) is None:
                with path.open("rb") as file:
                    return int(json.loads(file.readline())["step"])
        return 0

    def clear(self) -> None:
        """Removes the checkpoints of a run that has ended, and what killed processes left."""
        for path in (self.last, self.previous, *self.folder.glob(".last.ckpt.*.tmp")):
            path.unlink(missing_ok=True)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes the last checkpoint. The one that was last stays until the new one is on the disk.

        Raises OSError; then both are as they were.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        head = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "code_version": code_version(),
            "step": checkpoint["global_step"],
        }
        with replacing(self.last) as temporary:
            with temporary.open("wb") as file:
                file.write(json.dumps(head).encode() + b"\n")
                file.write(content)
            flush(temporary)  # before the one that was last is touched
            if self.last.exists():
                self.last.replace(self.previous)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """A checkpoint's content; nothing but tensors and plain values is unpickled."""
        with Path(path).open("rb") as file:
            file.readline()
            content = io.BytesIO(file.read())
        return torch.load(content, map_location=map_location, weights_only=True)

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    with path.open("rb") as file:
        try:
            head = json.loads(file.readline())
            written = head["sha256"], head["code_version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return "is damaged (its first line is not one of a checkpoint)"
        if hashlib.file_digest(file, "sha256").hexdigest() != written[0]:
            return "is damaged (its content has another checksum)"
    return None if written[1] == code_version() else "was written by other code"
