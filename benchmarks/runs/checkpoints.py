"""Reads and writes the checkpoints of a run: the last one and the one before it.

A checkpoint file has one line of JSON, with the SHA-256 of the rest of the file, the step, the
device and the conditions under which it was written, and then the bytes that `torch.save` writes.
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

from benchmarks.provenance import provenance
from benchmarks.records.atomic_files import flush, replacing
from benchmarks.records.record import changes


class Checkpoints(CheckpointIO):
    """Reads and writes the checkpoints of one run, as Lightning's plugin.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last = folder / "last.ckpt"
        self.previous = folder / "previous.ckpt"

    def newest(self) -> Path | None:
        """Finds the newest checkpoint that can be loaded.

        A newer checkpoint that is damaged or was written under other conditions (code, libraries,
        processor) is renamed to `*.unused`, and a line on stderr says so.

        Returns:
            The path of the checkpoint; None if no checkpoint can be loaded.
        """
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            if (why := _fault(path)) is None:
                return path
            aside = path.with_suffix(".unused")
            path.replace(aside)
            print(
                f"capsbench: {path} {why}: the run resumes from the checkpoint before it, or "
                f"starts from the beginning; the file is kept as {aside.name}",
                file=sys.stderr,
            )
        return None

    def step(self) -> int:
        """Returns the step of the newest loadable checkpoint; 0 if there is none."""
        for path in (self.last, self.previous):
            if path.exists() and _fault(path) is None:
                with path.open("rb") as file:
                    return int(json.loads(file.readline())["step"])
        return 0

    def clear(self) -> None:
        """Deletes the checkpoints of the run, and the temporary files of killed processes."""
        for path in (self.last, self.previous, *self.folder.glob(".last.ckpt.*.tmp")):
            path.unlink(missing_ok=True)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes a checkpoint to `last.ckpt`; the old `last.ckpt` becomes `previous.ckpt`.

        The old file is renamed only after the new content is on the disk.

        Args:
            checkpoint: the state of the training, from Lightning.
            path: not used; Lightning passes it.
            storage_options: not used; Lightning passes it.

        Raises:
            OSError: if the file cannot be written, for instance on a full disk; the old
                checkpoints stay.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        device = _device_of(checkpoint)
        head = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "device": device,
            "conditions": provenance().conditions(device),
            "step": checkpoint["global_step"],
        }
        with replacing(self.last) as temporary:
            with temporary.open("wb") as file:
                file.write(json.dumps(head).encode() + b"\n")
                file.write(content)
            flush(temporary)  # before the old checkpoint is renamed
            if self.last.exists():
                self.last.replace(self.previous)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads a checkpoint; only tensors and plain values are unpickled.

        Args:
            path: the file.
            map_location: the device of the tensors, as for `torch.load`.
            weights_only: not used; Lightning passes it.

        Returns:
            The state of the training.
        """
        with Path(path).open("rb") as file:
            file.readline()
            content = io.BytesIO(file.read())
        return torch.load(content, map_location=map_location, weights_only=True)

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def _device_of(checkpoint: dict[str, Any]) -> str:
    """Returns the type of the device that trains the model: `cpu` or `cuda`."""
    return next((tensor.device.type for tensor in checkpoint["state_dict"].values()), "cpu")


def _fault(path: Path) -> str | None:
    """Says why a checkpoint cannot be loaded, as the rest of a sentence; None if it can be."""
    with path.open("rb") as file:
        try:
            head = json.loads(file.readline())
            changed = changes(head["conditions"], provenance().conditions(head["device"]))
            expected = head["sha256"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "is damaged (its first line is not that of a checkpoint)"
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            return "is damaged (its content has another checksum)"
    return f"was written under other conditions ({changed})" if changed else None
