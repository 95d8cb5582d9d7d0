"""The page: one HTML file that needs no network, and in which every text is only a text."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.figures import INK, LINE, PAPER, Drawing
from reports.files import SUFFIXES
from reports.formats import one_line, plus_minus, readable, stem, write
from reports.page.pictures import pictures
from reports.records import Cell, Results, Run
from reports.standings import Standing, scores, standings
from reports.statistics import interval
from reports.tables import flags

HERE = Path(__file__).parent
SECTIONS = {
    "matrix": "Matrix",
    "leaderboard": "Leaderboards",
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
    """Writes `index.html`; the figures' SVG files must be there."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"shown": _shown, "breadth": _breadth}
    script = (HERE / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    groups = [*standings(results)]
    page = environment.get_template("index.html.j2").render(
        title="capsbench: variants on datasets",
        summary=_summary(results),
        flags=flags(results),
        sections=SECTIONS.items(),
        suffixes=SUFFIXES.values(),
        tables=tables,
        leaderboard=_leaderboard(tables["leaderboard"], groups),
        matrices=_matrices(groups),
        figures=[_figure(figure, folder / "figures") for figure in figures],
        pictures=pictures(results),
        cells=[_cell(results, s) for group in groups for s in group],
        style=Markup((HERE / "page.css").read_text("utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
    write(folder / "index.html", page)


def anchor(cell: Cell) -> str:
    """The id of a cell's place in the page."""
    return stem("cell", cell.study)


def _summary(results: Results) -> str:
    runs = results.runs
    done = sum(cell.progress == "done" for cell in results.cells)
    failed = sum(run.status == "failed" for run in runs)
    profiles = ", ".join(sorted({cell.profile for cell in results.cells}))
    return (
        f"{len(results.cells)} cells, {done} of them done; {len(runs)} runs, {failed} failed; "
        f"profile {profiles}."
    )


def _leaderboard(table: pd.DataFrame, groups: Sequence[list[Standing]]) -> pd.DataFrame:
    """The columns that a reader compares, with the place of each row's runs as `id`."""
    cells = [s.cell for group in groups for s in group]
    seconds = [interval([r.costs.get("seconds", math.nan) for r in c.scored]).mean for c in cells]
    columns = ["task", "dataset", "variant", "metric", "mean", "±", "n", "mark", "behind"]
    columns += ["behind ±", "p", "published", "gap", "seconds", "data", "profile", "progress"]
    shown = table.rename(columns={"seeds": "n"}).assign(
        **{
            "±": (table["ci_high"] - table["ci_low"]) / 2,
            "behind ±": (table["behind_high"] - table["behind_low"]) / 2,
        },
        seconds=seconds,
        id=[anchor(cell) for cell in cells],
    )
    return shown[[*columns, "notes", "id"]]


def _matrices(groups: Sequence[list[Standing]]) -> Iterator[dict[str, Any]]:
    tables: dict[tuple[str, str], list[list[Standing]]] = {}
    for group in groups:
        tables.setdefault((group[0].cell.task, group[0].cell.profile), []).append(group)
    for (task, profile), columns in tables.items():
        cells = {
            (s.cell.variant, s.cell.dataset): _entry(s, group) for group in columns for s in group
        }
        heads = [
            {
                "dataset": one_line(cell.dataset),
                "metric": one_line(cell.metric),
                "arrow": "↑" if cell.direction == "maximize" else "↓",
                "key": cell.dataset,
            }
            for cell in (group[0].cell for group in columns)
        ]
        rows = [
            {"variant": one_line(v), "cells": [cells.get((v, head["key"])) for head in heads]}
            for v in sorted({variant for variant, _ in cells})
        ]
        name = f"{one_line(task)} (profile {one_line(profile)})"
        yield {"name": name, "heads": heads, "rows": rows}


def _entry(standing: Standing, group: list[Standing]) -> dict[str, Any]:
    cell, score = standing.cell, standing.score
    means = [s.score.mean for s in group if math.isfinite(s.score.mean)]
    heat = None
    if math.isfinite(score.mean) and len(means) > 1 and max(means) > min(means):
        share = (score.mean - min(means)) / (max(means) - min(means))
        heat = round(100 * (share if cell.direction == "maximize" else 1 - share))
    mean, half = plus_minus(score.mean, score.half_width)
    tied = "≈ " if standing.mark == "tied" else ""
    seeds = f"n = {score.n}" if score.n else ""
    progress = "" if cell.progress == "done" else cell.progress
    return {
        "id": anchor(cell),
        "heat": heat,
        "mark": standing.mark,
        "text": f"{tied}{mean} ± {half}" if half else f"{tied}{mean}" if mean else "no final",
        "small": ", ".join(filter(None, (seeds, progress))),
    }


def _figure(figure: Drawing, folder: Path) -> dict[str, Any]:
    """A figure with the page's colours, its ids made its own."""
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
    kind = figure.name.partition("-")[0]
    return {
        "kind": kind,
        "name": figure.name,
        "title": one_line(figure.title),
        "svg": Markup(svg),
    }


def _cell(results: Results, standing: Standing) -> dict[str, Any]:
    cell = standing.cell
    metrics = {name for run in cell.scored for name in run.metrics if name.startswith("test/")}

    def told(metric: str) -> str:
        found = interval([*scores(cell, metric).values()])
        mean, half = plus_minus(found.mean, found.half_width)
        return f"{mean} ± {half} (n = {found.n})" if half else f"{mean} (n = {found.n})"

    names = sorted(name.removeprefix("test/") for name in metrics)
    shown = (*cell.finals, *([cell.best] if cell.best else []))
    return {
        "id": anchor(cell),
        "name": one_line(f"{cell.variant} on {cell.dataset} ({cell.task}, profile {cell.profile})"),
        "progress": cell.progress,
        "reason": one_line(cell.reason) if not cell.scored else "",
        "metrics": [(one_line(name), told(name)) for name in names],
        "runs": [_run(results, cell, run) for run in shown],
    }


def _run(results: Results, cell: Cell, run: Run) -> dict[str, Any]:
    folder = results.root / "runs" / run.run_id
    split = "test" if run.role == "final" else "validation"
    score = run.metrics.get(f"{split}/{cell.metric}", math.nan)
    text = f"{split} {one_line(cell.metric)} {readable(score)}" if run.complete else run.status
    command = ["python", "-m", "benchmarks", "reproduce", run.run_id]
    return {
        "id": run.run_id,
        "role": "best trial" if run.role == "trial" else run.role,
        "seed": run.seed,
        "text": f"{text}, {one_line(run.reason)}" if run.reason else text,
        "folder": f"../runs/{run.run_id}/",
        "curve": (folder / "metrics.jsonl").is_file(),
        "wandb": (folder / "wandb").is_dir(),
        "command": shlex.join([*command, "--results", str(results.root)]),
    }


def _breadth(value: Any) -> str:
    """Short texts stay on a line, long ones get room."""
    length = len(str(value))
    return "short" if length <= 24 else "long" if length > 48 else ""


def _shown(value: Any) -> str:
    if value is pd.NA or value is None:
        return ""
    return readable(value) if isinstance(value, float) else str(value)
