"""Reads files that may be packed; gzip and bzip2 are recognised by content, not by name."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

GZIP, BZIP2 = b"\x1f\x8b", b"BZh"


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for reading, and unpacks its content if it is packed by gzip or bzip2.

    Args:
        path: the file.

    Yields:
        The unpacked content. Reading raises EOFError or OSError if the packed content is damaged.
    """
    with path.open("rb") as stream:
        start = stream.read(3)
        stream.seek(0)
        if start.startswith(GZIP):
            yield cast(IO[bytes], gzip.GzipFile(fileobj=stream))
        elif start.startswith(BZIP2):
            yield bz2.BZ2File(stream)
        else:
            yield stream


def read_bounded(stream: IO[bytes], limit: int) -> bytes:
    """Reads the rest of a stream.

    Args:
        stream: the stream.
        limit: the largest number of bytes to read.

    Returns:
        The bytes.

    Raises:
        ValueError: if the stream has more than `limit` bytes.
    """
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit >> 20} MiB")
    return content


class Bounded(io.RawIOBase):
    """Passes on what is read from a stream, up to a number of bytes.

    Args:
        stream: the stream.
        limit: the largest number of bytes; reading more raises ValueError.
    """

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int = -1) -> bytes:
        """Reads at most `size` bytes, or all bytes if `size` is negative."""
        content = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError("it unpacks to far more than the official archive")
        return content
