"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replaces a file as a whole: after a power cut its old content is there, or the new one.

    Args:
        path: the file; its folder must exist.

    Yields:
        The path of a temporary file beside it, which the caller writes. At the end it is flushed to
        the disk and gets the name of `path`.

    Raises:
        OSError: if the disk is full. After this and any other error the temporary file is removed,
            and `path` has its old content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _name(error, path, temporary)
        raise


def _name(error: OSError, path: Path, temporary: Path) -> None:
    """Names the file in an error: a failed write names none, and nobody knows the temporary one.

    An error without a number has a text of its own, which a file's name would hide.
    """
    if error.errno is not None and error.filename in (None, str(temporary)):
        error.filename = str(path)


def flush(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: if the disk is full; then the old content is there.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
