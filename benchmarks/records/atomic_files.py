"""Writes files atomically: a reader finds the complete old content or the complete new content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replaces a file atomically: after a power failure it has its old or its new content.

    Args:
        path: the file; its folder must exist.

    Yields:
        The path of a temporary file in the same folder, which the caller writes. At the end the
        temporary file is flushed to the disk and renamed to `path`.

    Raises:
        OSError: if the file cannot be written, for instance on a full disk. After any error the
            temporary file is removed.
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
    """Sets the file name of an OSError that has none, or the name of the temporary file.

    An error without a number is left as it is, because a file name would hide its text.
    """
    if error.errno is not None and error.filename in (None, str(temporary)):
        error.filename = str(path)


def flush(path: Path) -> None:
    """Waits until the content of a file, or the file names in a folder, are on the disk (fsync).

    Args:
        path: the file or folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file atomically.

    Args:
        path: the file; its folder must exist.
        content: the new content.

    Raises:
        OSError: if the file cannot be written, for instance on a full disk; its old content stays.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def append_durably(path: Path, line: str) -> None:
    """Appends one line to a file and waits until it is on the disk.

    Args:
        path: the file; it is made if it does not exist.
        line: the line, without its line break.

    Raises:
        OSError: if the line cannot be written, for instance on a full disk; then a part of it that
            was written is removed.
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
    """Writes indented JSON with sorted keys, atomically. A file with equal content is not touched.

    Args:
        path: the file; its folder must exist.
        value: a value that JSON can express.

    Raises:
        OSError: if the file cannot be written.
    """
    content = (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


TOKEN = ".token"
"""The file with the random text that identifies a results folder on all machines."""


def token_of(folder: Path) -> str:
    """Reads the random text that identifies a folder; the first call writes it into the folder."""
    if not (folder / TOKEN).exists():
        write_token(folder, uuid4().hex)
    return (folder / TOKEN).read_text()


def write_token(folder: Path, token: str) -> None:
    """Writes the text that identifies a folder.

    Args:
        folder: the folder, which must exist.
        token: the text. A folder that replaces another one gets the text of the other.

    Raises:
        OSError: if the file cannot be written.
    """
    write_atomically(folder / TOKEN, token.encode())


def has_token(folder: Path, token: str) -> bool:
    """Returns whether a folder can be read and is identified by a text.

    Args:
        folder: the folder; it need not exist.
        token: the text.
    """
    try:
        return (folder / TOKEN).read_text() == token
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """Computes the SHA-256 of a file's content.

    Args:
        path: the file.

    Returns:
        64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
