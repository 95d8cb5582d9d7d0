"""The pictures of runs, small, side by side across variants."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.folders import RunFolder
from reports.formats import one_line, stem, write
from reports.index import FOLDER
from reports.records import Results

WIDTH = 360
"""Pixels; a click leads to the whole picture."""
LARGEST = 20_000_000
"""Pixels of a picture that is still read."""


def pictures(results: Results) -> list[dict[str, Any]]:
    """Groups by task, dataset and profile: of each variant its first completed final's pictures.

    Those of a kind, such as reconstructions, stand side by side.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell in results.cells:
        for run in cell.scored[:1]:
            for path in sorted(RunFolder(results.root, run.run_id).path.glob("*.png")):
                source = _small(path, results.root)
                if source is None:
                    continue
                group = one_line(f"{cell.dataset} ({cell.task}, profile {cell.profile})")
                # Only the name is a text of others: the path is made of a checked run id.
                href = f"../runs/{run.run_id}/{quote(path.name)}"
                kind = one_line(path.stem.replace("_", " "))
                shown = {"variant": one_line(cell.variant), "kind": kind, "href": href}
                groups.setdefault(group, []).append(shown | source)
    return [
        {"name": name, "pictures": sorted(shown, key=lambda p: (p["kind"], p["variant"]))}
        for name, shown in groups.items()
    ]


def _small(path: Path, root: Path) -> dict[str, Any] | None:
    """Its data URL and size, kept in the index; None for a file that is no picture, or a bomb."""
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
    return {"src": source, "width": width, "height": height}


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
