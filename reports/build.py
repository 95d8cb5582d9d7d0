"""Building the report: index, tables, figures, page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks import records
from benchmarks.records.atomic_files import sha256_of
from benchmarks.records.errors import InputError
from reports.formats import write
from reports.index import FOLDER, remove_other_curves
from reports.records import Results, load
from reports.tables import TABLES

PARTS = (*TABLES, "figures", "page")
FORMATS = ("csv", "parquet", "markdown", "latex", "svg", "png", "html")


def build(root: Path, only: Sequence[str] = (), formats: Sequence[str] = ()) -> Results:
    """Writes the report under `root/report`, and returns what it is made from.

    Args:
        only: of PARTS, those to write; all where empty.
        formats: of FORMATS, those to write; all where empty.

    Raises:
        InputError: for a part or format that there is not, and for results that cannot be read.
        OSError: if a file cannot be read or written.
    """
    _known("part", only, PARTS)
    _known("format", formats, FORMATS)
    parts, wanted = set(only or PARTS), set(formats or FORMATS)
    report = root / "report"
    results = load(root)
    whole = {*PARTS, *FORMATS} == {*parts, *wanted}
    key, kept = _key(results), root / FOLDER / "whole.txt"
    if whole and (report / "index.html").is_file() and _read(kept) == key + _written(report):
        return results
    page = "page" in parts and "html" in wanted
    from reports import tables

    made = tables.make(results, [name for name in TABLES if page or name in parts])
    if chosen := {name: table for name, table in made.items() if name in parts}:
        from reports.files import write_tables

        write_tables(chosen, report / "tables", wanted, tables.flags(results))
    drawn = {"svg", "png"} & wanted if "figures" in parts else set()
    if page or drawn:
        from reports.figures import drawings, write_figures

        figures = drawings(results)
        write_figures(figures, report / "figures", sorted(drawn | ({"svg"} if page else set())))
    remove_other_curves(results)
    if page:
        from reports.page import write_page

        write_page(results, made, figures, report)
    if whole:
        write(kept, key + _written(report))
    else:
        kept.unlink(missing_ok=True)
    return results


def _key(results: Results) -> str:
    """Changes with the cells, the runs, and the code of reports and of the records they read."""
    digest = hashlib.sha256(repr(results.root).encode())
    for room in (Path(__file__).parent, *map(Path, records.__path__)):
        for path in sorted(room.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.read_bytes())
    for cell in results.cells:
        digest.update(cell.ledger.model_dump_json().encode())
        digest.update(repr(cell.stamps((*cell.bases, *cell.trials, *cell.finals))).encode())
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
            raise InputError(f"there is no {what} '{name}': choose of {', '.join(known)}")
