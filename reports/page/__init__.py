"""Writes the page: one HTML file that needs no network; no text in it is taken for HTML."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.figures import LINE, PAPER, Drawing
from reports.flags import flags
from reports.formats import one_line, plus_minus, readable, write
from reports.page.cell_runs import cell_runs, group_name
from reports.page.heatmaps import matrices, settings
from reports.page.page_tables import first_column, leaderboards, published_columns, with_records
from reports.page.thumbnails import pictures
from reports.plots import INK
from reports.ranking import rankings
from reports.results import Results
from reports.table_files import SUFFIXES
from reports.tables.floor_tables import count_sentences

HERE = Path(__file__).parent
SECTIONS = {
    "matrix": "Matrix",
    "leaderboard": "Leaderboards",
    "floors": "Floors",
    "ranks": "Across datasets",
    "published": "Published figures",
    "curves": "Learning curves",
    "costs": "Costs",
    "settings": "Settings",
    "pictures": "Pictures",
    "failures": "Failures",
    "data": "Data",
    "provenance": "Provenance",
    "cells": "Runs",
}


def write_page(
    results: Results,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Drawing],
    folder: Path,
) -> None:
    """Writes `index.html`. The SVG files of the figures must exist."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "shown": _shown,
        "breadth": _breadth,
        "numeric": _numeric,
        "first_column": first_column,
        "with_records": with_records,
    }
    script = (HERE / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals["row_class"] = _row_class
    groups = [*rankings(results)]
    page = environment.get_template("index.html.j2").render(
        title="capsbench: variants on datasets",
        summary=_summary(results),
        counts=count_sentences(results),
        flags=flags(results),
        sections=SECTIONS.items(),
        suffixes=SUFFIXES.values(),
        tables=tables,
        leaderboards=leaderboards(tables["leaderboard"], groups),
        published=published_columns(tables["published"]),
        matrices=matrices(results, groups),
        settings=[*settings(results)],
        figures=_by_kind(figures, folder / "figures"),
        pictures=pictures(results),
        cells=[cell_runs(results, cell) for cell in results.cells],
        style=Markup((HERE / "page.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
    write(folder / "index.html", page)


def _summary(results: Results) -> str:
    runs = results.runs
    done = sum(cell.progress == "done" for cell in results.cells)
    failed = sum(run.status == "failed" for run in runs)
    saved = sum(cell.ledger.epochs.saved for cell in results.cells)
    profiles = ", ".join(sorted({cell.profile for cell in results.cells}))
    return (
        f"{len(results.cells)} cells, {done} of them done; {len(runs)} runs, {failed} failed; "
        f"{saved:,} epochs saved by pruning; profile {profiles}."
    )


def _by_kind(
    figures: Sequence[Drawing], folder: Path
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Groups figures by kind, then by task and profile."""
    kinds: dict[str, dict[str, list[dict[str, Any]]]] = {
        kind: {} for kind in ("comparison", "ranks", "curves", "costs")
    }
    for figure in figures:
        group = kinds[figure.name.partition("-")[0]].setdefault(group_name(*figure.group), [])
        group.append(_figure(figure, folder))
    return kinds


def _figure(figure: Drawing, folder: Path) -> dict[str, Any]:
    """Reads a figure as SVG with the colours of the page and without ids."""
    path = folder / f"{figure.name}.svg"
    svg = path.read_text("utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor").replace(LINE, "var(--line)")
    svg = svg.replace(PAPER, "none")
    label = Markup('<svg role="img" aria-label="{}"').format(figure.title)
    svg = svg.replace("<svg", label, 1)
    return {"name": figure.name, "title": one_line(figure.title), "svg": Markup(svg)}


def _breadth(value: Any) -> str:
    """Returns the CSS class of a text: short ones stay on a line, long ones can be unfolded."""
    length = len(str(value))
    return "short" if length <= 24 else "long" if length > 48 else ""


def _row_class(mark: str, kind: str = "variant") -> str:
    """Returns the CSS class of a row or cell: `floor`, or its mark in one word."""
    return "floor" if kind == "floor" else mark.replace(" ", "-")


def _numeric(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _shown(value: Any, spread: float | None = None) -> str:
    """Writes an entry of a table, with its spread if there is one."""
    if value is pd.NA or value is None:
        return ""
    if spread is not None and math.isfinite(spread):
        return " ± ".join(plus_minus(value, spread))
    if isinstance(value, float):
        return readable(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
