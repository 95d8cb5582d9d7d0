"""Writes the tables as files, each in up to four formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from reports.formats import BYTE_ORDER_MARK, csv, latex, markdown, tex, write, write_parquet
from reports.paper_tables import paper_tables
from reports.tables import DATA_TABLES, NOTES

FORMATS = ("csv", "parquet", "markdown", "latex")
SUFFIXES = {"csv": "csv", "parquet": "parquet", "markdown": "md", "latex": "tex"}

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
    methods: str = "",
) -> None:
    """Writes `<name>.csv`, `.parquet`, `.md` and `.tex`, and `tables.tex` that holds all.

    Args:
        methods: LaTeX of the paragraph on methods, written as `methods.tex`.
        flags: sentences on all tables, written above the rows of those that are read.
    """
    formats = set(formats)
    warning = "".join(f"> {sentence}\n" for sentence in flags)
    noted = "".join(rf"\noindent {tex(sentence)}" + "\n\n" for sentence in flags)
    for name, table in tables.items():
        if "csv" in formats:
            write(folder / f"{name}.csv", BYTE_ORDER_MARK + csv(table))
        if "parquet" in formats:
            write_parquet(table, folder / f"{name}.parquet")
        if "markdown" in formats and name not in DATA_TABLES:
            text = markdown(table, NOTES.get(name, ""))
            write(folder / f"{name}.md", f"{warning}\n{text}" if warning else text)
        if "latex" in formats and name not in DATA_TABLES:
            paper = name == "leaderboard"
            write(
                folder / f"{name}.tex",
                paper_tables(table, flags) if paper else f"{noted}{latex(table)}",
            )
    if "latex" in formats:
        if methods:
            write(folder / "methods.tex", methods)
        parts = (
            rf"\section*{{{tex(name)}}}" + f"\n\\input{{{name}.tex}}\n"
            for name in tables
            if name not in DATA_TABLES
        )
        write(folder / "tables.tex", f"{_DOCUMENT}{''.join(parts)}\\end{{document}}\n")
