"""Builds the report: curve index, tables, figures and page."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import records
from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.errors import InputError
from reports.curve_index import FOLDER, remove_other_curves
from reports.flags import flags
from reports.formats import write
from reports.results import CHECKED, Results, read_results
from reports.tables import TABLES, build_tables

if TYPE_CHECKING:
    from reports.figures import Drawing

PARTS = (*TABLES, "figures", "page")
FORMATS = ("csv", "parquet", "markdown", "latex", "svg", "png", "pdf", "html")
USUAL = tuple(name for name in FORMATS if name != "pdf")
"""Formats that are written unless others are asked for; PDF would take half as long again."""


def build(root: Path, only: Sequence[str] = (), formats: Sequence[str] = ()) -> Results:
    """Writes the report under `root/report`, and returns the results behind it.

    Args:
        root: the results folder.
        only: names from PARTS to write; empty: all.
        formats: names from FORMATS to write; empty: USUAL.

    Raises:
        InputError: if a part or format is unknown, or the results cannot be read.
        OSError: if a file cannot be read or written.
    """
    _known("part", only, PARTS)
    _known("format", formats, FORMATS)
    parts, wanted = set(only or PARTS), set(formats or USUAL)
    report = root / "report"
    results = read_results(root)
    gc.freeze()  # the records stay until the end: no later collection needs to visit them
    checked = "".join(f"{mark}\n" for mark in sorted(results.undamaged))
    if _read(root / CHECKED) != checked:
        write(root / CHECKED, checked)
    whole = {*PARTS, *USUAL} == {*parts, *wanted}
    key, kept = _key(results), root / FOLDER / "whole.txt"
    if whole and (report / "index.html").is_file() and _read(kept) == key + _written(report):
        return results
    page = "page" in parts and "html" in wanted
    figures, finish_figures = _begin_figures(results, report, parts, wanted)
    made = build_tables(results, [name for name in TABLES if page or name in parts])
    if chosen := {name: table for name, table in made.items() if name in parts}:
        from reports.paper_tables import methods_paragraph
        from reports.table_files import write_tables

        sentences = flags(results)
        methods = methods_paragraph(results, sentences) if "leaderboard" in chosen else ""
        write_tables(chosen, report / "tables", wanted, sentences, methods)
    finish_figures()
    remove_other_curves(results)
    if page:
        from reports.page import write_page

        write_page(results, made, figures, report)
    if whole:
        write(kept, key + _written(report))
    else:
        kept.unlink(missing_ok=True)
    return results


def _begin_figures(
    results: Results, report: Path, parts: set[str], wanted: set[str]
) -> tuple[list[Drawing], Callable[[], None]]:
    """Begins to write the figures in the wanted formats; none if they are not asked for.

    Returns:
        The figures, and a function that waits until they are written.
    """
    from reports.figures import FORMATS, begin_figures, drawings

    formats = [name for name in FORMATS if name in wanted]
    if "figures" not in parts or not formats:
        return [], lambda: None
    figures = drawings(results)
    return figures, begin_figures(figures, report / "figures", formats)


def _key(results: Results) -> str:
    """Returns a key that changes with ledgers, records, and the code that reads them."""
    digest = hashlib.sha256(repr(results.root).encode())
    for room in (Path(__file__).parent, *map(Path, records.__path__)):
        for path in sorted(room.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.read_bytes())
    digest.update(results.key.encode())
    return digest.hexdigest()


def _written(report: Path) -> str:
    """Returns a hash of the files of a report: an archive may have been unpacked over them."""
    digest = hashlib.sha256()
    for path in sorted(report.rglob("*")):
        if path.is_file() and not path.is_relative_to(report.parent / FOLDER):
            digest.update(f"{path.relative_to(report)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"there is no {what} '{name}': choose one of {', '.join(known)}")
