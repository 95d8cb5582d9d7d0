"""Writes a static site of several sweeps, for any web host: an index, and a folder per sweep.

    DIR/index.html
    DIR/<sweep>/index.html          the sweep's page
    DIR/<sweep>/tables/             its tables
    DIR/<sweep>/<sweep>.tar.gz      its records, for `capsbench merge` and `capsbench reproduce`
    DIR/<sweep>/about.json          what the index says of it

Nothing else on a web host is needed, and no page asks the network for anything.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from benchmarks.records.archive import pack
from benchmarks.records.atomic_files import write_atomically, write_json
from benchmarks.records.errors import InputError, first_fault
from benchmarks.records.spec import Frozen
from reports.page import HERE
from reports.page.made_by import made_by
from reports.results import Results

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)


class About(Frozen):
    """Holds what the index of a site says of a sweep; it is stored as `about.json`."""

    name: str
    facts: tuple[tuple[str, str], ...]
    variants: tuple[str, ...]
    datasets: tuple[str, ...]
    tables: tuple[str, ...]
    """Names of the CSV files in `tables/`."""


def add_to_site(results: Results, site: Path, name: str | None = None) -> Path:
    """Adds a sweep, whose report is current, to a site, or replaces it there.

    Args:
        results: the results of the sweep.
        site: the folder of the site; it is made if it does not exist.
        name: names the sweep's folder and heading; by default the name of the results folder.

    Returns:
        The path of the site's index.

    Raises:
        InputError: if the name is not possible, the results have no cell, or the site has another
            file or a folder that is not a sweep's in the sweep's place.
        OSError: if a file cannot be written.
    """
    name = results.root.resolve().name if name is None else name
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a sweep of a site: give --site-name, of at most 80 letters, "
            "digits and signs (_ . -)"
        )
    place = site / name
    if place.exists() and not (place / "about.json").is_file():
        raise InputError(f"{place} is not a sweep of a site: give another --site-name or --site")
    place.mkdir(parents=True, exist_ok=True)
    report = results.root / "report"
    shutil.rmtree(place / "tables", ignore_errors=True)
    shutil.copytree(report / "tables", place / "tables")
    shutil.copyfile(report / "index.html", place / "index.html")
    pack(results.root, place / f"{name}.tar.gz")
    about = About(
        name=name,
        facts=tuple(made_by(results)),
        variants=tuple(sorted({cell.variant for cell in results.cells})),
        datasets=tuple(dict.fromkeys(cell.dataset for cell in results.cells)),
        tables=tuple(sorted(path.name for path in (place / "tables").glob("*.csv"))),
    )
    write_json(place / "about.json", about.model_dump(mode="json"))
    return _write_index(site)


def _write_index(site: Path) -> Path:
    """Writes the index of all sweeps in a site's folder."""
    sweeps = [_read(path) for path in sorted(site.glob("*/about.json"))]
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = (HERE / "page.css").read_text(encoding="utf-8")
    page = environment.get_template("site.html.j2").render(sweeps=sweeps, style=style)
    write_atomically(site / "index.html", page.encode())
    return site / "index.html"


def _read(path: Path) -> About:
    try:
        about = About.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path} is not of this version ({first_fault(error)}): remove its folder, and add the "
            "sweep again"
        ) from None
    return about.model_copy(update={"name": path.parent.name})
