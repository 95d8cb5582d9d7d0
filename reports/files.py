"""The tables as files: each in four formats, and a paper's matrix of scores in LaTeX."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reports.formats import (
    csv,
    latex,
    longtable,
    markdown,
    tex,
    with_interval,
    write,
    write_parquet,
)
from reports.standings import BELOW
from reports.tables import NOTES

FORMATS = ("csv", "parquet", "markdown", "latex")
SUFFIXES = {"csv": "csv", "parquet": "parquet", "markdown": "md", "latex": "tex"}

_SIGNS = {
    "may be best": r"^{\ast}",
    "too few seeds": r"^{\circ}",
    **dict.fromkeys(BELOW, r"^{\dagger}"),
}
_DOCUMENT = r"""% Compiles as it is. The other files are for \input, with the same packages.
\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{array,booktabs,longtable}
\usepackage[a2paper,landscape,margin=1cm]{geometry}
\begin{document}
\footnotesize
"""


def write_tables(
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    formats: Iterable[str] = FORMATS,
    flags: Sequence[str] = (),
) -> None:
    """Writes `<name>.csv`, `.parquet`, `.md` and `.tex`, and `tables.tex` that holds all.

    Args:
        flags: sentences on all tables, written above the rows of those that are read.
    """
    formats = set(formats)
    warning = "".join(f"> {sentence}\n" for sentence in flags)
    noted = "".join(rf"\noindent {tex(sentence)}" + "\n\n" for sentence in flags)
    for name, table in tables.items():
        if "csv" in formats:
            write(folder / f"{name}.csv", csv(table))
        if "parquet" in formats:
            write_parquet(table, folder / f"{name}.parquet")
        if "markdown" in formats:
            text = markdown(table, NOTES.get(name, ""))
            write(folder / f"{name}.md", f"{warning}\n{text}" if warning else text)
        if "latex" in formats:
            rows = matrix(table) if name == "leaderboard" else latex(table)
            write(folder / f"{name}.tex", f"{noted}{rows}")
    if "latex" in formats:
        parts = (rf"\section*{{{tex(name)}}}" + f"\n\\input{{{name}.tex}}\n" for name in tables)
        write(folder / "tables.tex", f"{_DOCUMENT}{''.join(parts)}\\end{{document}}\n")


def matrix(leaderboard: pd.DataFrame) -> str:
    """Writes variants by datasets: the mean, its 95 % interval, and n as index; the best in bold.

    A star marks a variant that may be the best, a circle one with too few seeds to say, a dagger
    one that is not above its floors; a dash means that there is no final. Floors follow the
    variants.
    """
    tables = []
    for (task, profile), rows in leaderboard.groupby(["task", "profile"], sort=False):
        datasets = list(rows["dataset"].unique())
        units = dict(zip(rows["dataset"], rows["metric"], strict=True))
        cells = {(row["variant"], row["dataset"]): _score(row) for row in rows.to_dict("records")}
        kinds = dict(zip(rows["variant"], rows["kind"], strict=True))
        lines = [
            [tex(variant), *(cells.get((variant, dataset), "") for dataset in datasets)]
            for variant in sorted(kinds, key=lambda name: (kinds[name] == "floor", name))
        ]
        head = ["variant", *(tex(f"{d} ({units[d]})") for d in datasets)]
        caption = rf"\noindent {tex(str(task))}, profile {tex(str(profile))}: mean "
        caption += r"[95\,\% interval], index: seeds; bold: best, $\ast$: may be best, "
        caption += r"$\circ$: too few seeds, $\dagger$: not above its floors, "
        caption += "no sign: worse than another\n"
        tables.append(caption + longtable("l" + "r" * len(datasets), head, lines))
    return "\n".join(tables)


def _score(row: Mapping[Hashable, Any]) -> str:
    value, between = with_interval(row["mean"], row["ci_low"], row["ci_high"], "", "")
    if not value:
        return "--"
    text = rf"{value}\ [{between.replace(' to ', ', ')}]" if between else value
    if row["mark"] == "best":
        text = rf"\mathbf{{{text}}}"
    seeds = f"_{{{row['seeds']}}}" if row["seeds"] else ""
    return f"${text}{seeds}{_SIGNS.get(row['mark'], '')}$"
