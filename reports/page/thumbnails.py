"""Makes small copies of the pictures of runs for the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from urllib.parse import quote

from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.folders import RunFolder
from reports.curve_index import FOLDER
from reports.formats import one_line, stem, write
from reports.page.page_format import Picture
from reports.results import Cell, Results

WIDTH = 360
"""Width in pixels; a click opens the whole picture."""
LARGEST = 20_000_000
"""Pixels of a picture, at most; larger ones are left out."""


def pictures(results: Results, cell: Cell) -> list[Picture]:
    """Makes small copies of the pictures of a cell's first completed final, sorted by name."""
    found = []
    for run in cell.scored[:1]:
        for path in sorted(RunFolder(results.root, run.run_id).path.glob("*.png")):
            # The name may be any text; the run id was checked.
            href = f"../runs/{run.run_id}/{quote(path.name)}"
            kind = one_line(path.stem.replace("_", " "))
            if picture := _small(path, results.root, kind, href):
                found.append(picture)
    return found


def _small(path: Path, root: Path, kind: str, href: str) -> Picture | None:
    """Returns a small copy as data URL, and its size; None if the file is no picture or too large.

    Small copies are stored in `report/index/pictures`.
    """
    from PIL import Image

    name = f"{stem(path.parent.name, path.stem)}-{sha256_of(path)[:16]}"
    kept = root / FOLDER / "pictures" / name
    if kept.is_file():
        content = kept.read_bytes()
    else:
        made = _made(path)
        if made is None:
            return None
        content = made
        write(kept, content)
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    source = f"data:image/webp;base64,{base64.b64encode(content).decode()}"
    return Picture(kind=kind, href=href, src=source, width=width, height=height)


def _made(path: Path) -> bytes | None:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > LARGEST:
                return None
            small = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    small.thumbnail((WIDTH, 4 * WIDTH))
    content = io.BytesIO()
    small.save(content, format="WEBP", quality=75)
    return content.getvalue()
