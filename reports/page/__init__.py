"""Writes the page: one HTML file that needs no network; no text in it is taken for HTML."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.figures import FORMATS, Drawing
from reports.flags import flags
from reports.formats import one_line, write
from reports.page.boards import boards
from reports.page.budgets import budget_sentences
from reports.page.cells import cell_data
from reports.page.glossary import glossary
from reports.page.made_by import made_by
from reports.page.page_format import PageData
from reports.page.run_rows import MOST
from reports.page.summary import comparisons, summaries
from reports.page.table_data import table_data
from reports.page.views import COSTS, VIEWS
from reports.results import Results
from reports.statistics.aggregates import across
from reports.statistics.ranking import rankings
from reports.table_files import SUFFIXES
from reports.tables import DATA_TABLES, TABLES
from reports.tables.floor_tables import count_sentences

HERE = Path(__file__).parent
VENDORED = ("d3.min.js", "plot.umd.min.js")
"""Libraries in `vendored/`, in the order in which they are loaded."""
SCRIPTS = ("dom", "address", "tables", "charts", "seeds", "drawer", "matrix", "dataset", "main")
"""Files in `scripts/`, in the order in which they are joined."""


def write_page(
    results: Results,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Drawing],
    folder: Path,
) -> None:
    """Writes `index.html`.

    Args:
        results: the results.
        tables: all tables by name.
        figures: those whose files are beside the page; it links to them.
        folder: where to write.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    groups = [*rankings(results)]
    libraries = "\n".join(_read(HERE / "vendored" / name) for name in VENDORED)
    script = "\n".join(_read(HERE / "scripts" / f"{name}.js") for name in SCRIPTS)
    page = environment.get_template("index.html.j2").render(
        title="capsbench: variants on datasets",
        facts=made_by(results),
        counts=count_sentences(results),
        flags=flags(results),
        budgets=budget_sentences(results),
        summaries=summaries(groups, {(a.task, a.profile): a.doubles for a in across(results)}),
        comparisons=comparisons(groups),
        views=VIEWS,
        cost_views=COSTS,
        glossary=glossary(results),
        rows={name: len(table) for name, table in tables.items()},
        listed_runs=min(MOST, len(results.every_run)),
        files=[(name, _suffixes(name)) for name in TABLES],
        figures=[(figure.name, one_line(figure.title)) for figure in figures],
        figure_formats=_formats(figures, folder / "figures"),
        style=Markup(_read(HERE / "page.css")),
        data=Markup(_json(page_data(results, tables))),
        libraries=Markup(libraries),
        script=Markup(script),
        hashes=[_hash(libraries), _hash(script)],
    )
    write(folder / "index.html", page)


def page_data(results: Results, tables: Mapping[str, pd.DataFrame]) -> PageData:
    """Collects all that the page's scripts show.

    Args:
        results: the results.
        tables: all tables by name.
    """
    groups = [*rankings(results)]
    return PageData(
        folder=one_line(results.root.resolve().name),
        boards=boards(results, groups),
        cells={s.cell.study: cell_data(results, s, group) for group in groups for s in group},
        tables=table_data(results, tables, groups),
    )


def _json(data: PageData) -> str:
    """Writes JSON that may stand in a script element: no text in it can end the element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _suffixes(table: str) -> list[str]:
    formats = ("csv", "parquet") if table in DATA_TABLES else SUFFIXES
    return [SUFFIXES[name] for name in formats]


def _formats(figures: Sequence[Drawing], folder: Path) -> list[str]:
    """Lists the formats in which the figures are in a folder."""
    return [
        name for name in FORMATS if all((folder / f"{f.name}.{name}").is_file() for f in figures)
    ]


def _read(path: Path) -> str:
    return path.read_text("utf-8")


def _hash(script: str) -> str:
    """Returns the hash by which the content security policy allows a script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
