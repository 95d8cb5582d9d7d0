"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_atomically(path: Path, content: bytes) -> None:
    """Temporary file, fsync, rename: after a power cut the old content is there, or the new.

    Raises OSError where the disk is full; then the old content is there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        replace_durably(temporary, path)
    except OSError as error:
        error.filename = str(path)  # which a write does not tell
        temporary.unlink(missing_ok=True)
        raise


def replace_durably(temporary: Path, path: Path) -> None:
    """Renames a file once its content is on the disk, and makes the renaming durable."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def append_durably(path: Path, line: str) -> None:
    """Adds one line and waits until it is on the disk.

    Raises OSError where the disk is full; then nothing is added.
    """
    with path.open("ab", buffering=0) as file:
        whole = file.tell()
        try:
            content = memoryview(f"{line}\n".encode())
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except OSError as error:
            error.filename = str(path)
            file.truncate(whole)
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes JSON for people and machines, atomically; an equal file is left as it is."""
    content = (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def token_of(folder: Path) -> str:
    """Reads the random text that tells a folder from all others; the first call puts it there."""
    path = folder / ".token"
    if not path.exists():
        write_atomically(path, uuid4().hex.encode())
    return path.read_text()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
