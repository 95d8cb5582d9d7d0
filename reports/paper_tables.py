"""Writes the leaderboard as LaTeX tables that fit a paper, and a paragraph on methods."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from reports.formats import stem, tex
from reports.results import Results
from reports.score_texts import is_rate, score_texts
from reports.statistics.ranking import BELOW

WIDTH = 343.0
"""Points: LaTeX's narrowest usual text block, one column of 10 pt on paper, has 345."""
NAME_WIDTH = 78.0
"""Points of the column of variants; longer names are broken."""
MOST_VARIANTS = 14
"""Variants in a table, two lines each, so that it fits on a page below its caption."""
GAP = 3.0
"""Points on each side of a column."""

_SIGNS = {
    "may be best": r"^{\ast}",
    "too few seeds": r"^{\circ}",
    **dict.fromkeys(BELOW, r"^{\dagger}"),
}
_HEAD = """\
% Needs \\usepackage{booktabs}; for odd names, \\usepackage[T1]{fontenc} and \\usepackage{textcomp}.
% table* spans both columns of a two-column paper, and is as table in one column.
"""
_MARKS = (
    r"Bold: best, all others are worse; $\ast$: may be best; $\circ$: too few seeds to say; "
    r"$\dagger$: not above the floors, which are the trivial answers in the last rows and the same "
    "network untrained; no sign: worse than another."
)
_METHODS = (
    "The networks with the chosen hyper-parameters were trained again with fresh seeds. Each was "
    "scored once on test data, which had no part in any choice. "
    "Tables show the mean over seeds with its 95 % confidence interval. "
    "It includes the variation between seeds (Student's t, on the logit for rates and on the "
    "logarithm for errors) and, for rates, the sampling error of the test set (Clopper and Pearson "
    "1934); the squares of both widths are added (Zou and Donner 2008). "
    "Variants are marked by multiple comparisons with the best (Hsu 1984) at a family-wise level "
    "of 5 %, with Dunnett's one-sided critical value. "
    "Only variants that are better than all trivial answers and than their own untrained network "
    "are compared."
)


def paper_tables(leaderboard: pd.DataFrame, flags: Sequence[str] = ()) -> str:
    """Writes `table*` environments with booktabs, at most 343 points wide.

    Each task and profile has one table. It is split by datasets where they are too wide, and by
    variants where they are too many for a page. Rates are in percent.

    Args:
        leaderboard: the table.
        flags: sentences on it, written as comments.
    """
    noted = "".join(f"% {' '.join(tex(sentence).split())}\n" for sentence in flags)
    tables = []
    for (task, profile), rows in leaderboard.groupby(["task", "profile"], sort=False):
        parts = [*_parts(rows)]
        for number, part in enumerate(parts, start=1):
            of = f", part {number} of {len(parts)}" if len(parts) > 1 else ""
            label = f"tab:{stem(str(task), str(profile))}" + (f"-{number}" if number > 1 else "")
            title = f"{tex(str(task).capitalize())}, profile {tex(str(profile))}{of}"
            tables.append(_table(part, title, label))
    return _HEAD + noted + "\n".join(tables)


def methods_paragraph(results: Results, flags: Sequence[str]) -> str:
    """Writes a paragraph to paste into a paper: what made the tables, and how to read them.

    Args:
        results: the results behind the tables.
        flags: sentences on all tables, such as on the search for hyper-parameters.
    """
    finals = [run.provenance for cell in results.cells for run in cell.scored]
    versions = sorted({one.version for one in finals if one.version})
    codes = sorted({one.code_version for one in finals})
    made = f"All results were made with capsbench {', '.join(versions)}".rstrip()
    made += f" (code version {', '.join(codes)})." if codes else "."
    return tex(" ".join([made, _METHODS, *flags])) + "\n"


def _parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Splits the rows of a task and profile into those of tables that fit."""
    for datasets in _fitting(rows):
        part = rows[rows["dataset"].isin(datasets)]
        is_floor = part["kind"] == "floor"
        variants = sorted(part["variant"][~is_floor].unique())
        for first in range(0, max(1, len(variants)), MOST_VARIANTS):
            here = variants[first : first + MOST_VARIANTS]
            yield part[is_floor | part["variant"].isin(here)]


def _fitting(rows: pd.DataFrame) -> list[list[str]]:
    """Groups datasets, in their order, so that the columns of each group fit beside the names."""
    groups: list[list[str]] = []
    left = 0.0
    for dataset, group in rows.groupby("dataset", sort=False):
        records = group.to_dict("records")
        widths = [_width(str(dataset)[:20], 4.5), _width(str(records[0]["metric"])[:20], 4.1)]
        for row in records:
            value, between = _score(row)
            widths += [_width(value, 4.9) + 5, _width(f"[{between}]", 4.0)]
        wide = max(widths) + 2 * GAP
        if wide > left:
            groups.append([])
            left = WIDTH - NAME_WIDTH - GAP
        groups[-1].append(str(dataset))
        left -= wide
    return groups


def _width(text: str, sign: float) -> float:
    """Estimates the points of a text from those of a usual sign, in Computer Modern."""
    return sum(0.6 * sign if c in " .,()[]-" else sign for c in text)


def _table(rows: pd.DataFrame, title: str, label: str) -> str:
    datasets = list(rows["dataset"].unique())
    firsts = [rows[rows["dataset"] == dataset].iloc[0] for dataset in datasets]
    records: dict[str, dict[str, Mapping[Hashable, Any]]] = {}
    for row in rows.to_dict("records"):
        records.setdefault(str(row["variant"]), {})[row["dataset"]] = row
    floors = set(rows["variant"][rows["kind"] == "floor"])
    variants = sorted(records.keys() - floors)
    lines = [
        " & ".join(["", *(_plain(d) for d in datasets)]) + r" \\",
        " & ".join(["", *(rf"{{\scriptsize {_plain(f['metric'])}}}" for f in firsts)]) + r" \\",
        " & ".join(["variant", *map(_unit, firsts)]) + r" \\",
        r"\midrule",
    ]
    for name in variants:
        lines += _variant_lines(name, [records[name].get(d) for d in datasets])
    if floors:
        lines.append(r"\midrule")
    for name in sorted(floors):
        values = (_score(records[name][d])[0] if d in records[name] else "" for d in datasets)
        lines.append(" & ".join([_breakable(name), *values]) + r" \\")
    return "\n".join(
        (
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{title}: {_caption(rows)} {_MARKS}}}",
            rf"\label{{{label}}}",
            r"\smallskip",
            r"\footnotesize",
            rf"\setlength{{\tabcolsep}}{{{GAP:g}pt}}",
            rf"\begin{{tabular}}{{@{{}}p{{{NAME_WIDTH:g}pt}}{'r' * len(datasets)}@{{}}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table*}",
            "",
        )
    )


def _variant_lines(name: str, rows: Sequence[Mapping[Hashable, Any] | None]) -> list[str]:
    """Writes the line of a variant's means, and below it that of their intervals."""
    means, intervals = [], []
    for row in rows:
        value, between = _score(row) if row else ("", "")
        sign = _SIGNS.get(row["mark"], "") if row else ""
        bold = row is not None and row["mark"] == "best"
        text = rf"\mathbf{{{value}}}" if bold else value
        means.append(f"${text}{sign}$" if value else "--")
        intervals.append(rf"{{\scriptsize [{between}]}}" if between else "")
    lines = [" & ".join([_breakable(name), *means]) + r" \\"]
    if any(intervals):
        lines.append(" & ".join(["", *intervals]) + r" \\")
    return [*lines, r"\addlinespace[2pt]"]


def _score(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    """Returns the mean and the ends of its interval; rates are in percent, with 1 or 2 decimals."""
    mean, low, high = score_texts(row["metric"], row["mean"], row["ci_low"], row["ci_high"])
    return mean, f"{low}, {high}" if low else ""


def _unit(row: pd.Series[Any]) -> str:
    """Writes the unit of a dataset's metric, and an arrow in the better direction."""
    percent = r"\% " if is_rate(row["metric"]) else ""
    arrow = r"$\uparrow$" if row["direction"] == "maximize" else r"$\downarrow$"
    return rf"{{\scriptsize {percent}{arrow}}}"


def _caption(rows: pd.DataFrame) -> str:
    """Says what the scores are, over how many seeds and test samples, and on what data."""
    variants = rows[rows["kind"] == "variant"]
    seeds = sorted({int(n) for n in variants["seeds"] if n})
    over = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(*seeds)
    text = f"mean test score over {over} seed{'' if seeds == [1] else 's'}" if seeds else "no score"
    text += r", with its 95\,\% interval below. $\uparrow$: higher is better, $\downarrow$: lower. "
    sizes = _by_dataset(rows, "test_samples", lambda size: f"{size:,}")
    states = _by_dataset(rows, "data", str)
    return f"{text}Test samples: {sizes}. Data: {states}."


def _by_dataset(rows: pd.DataFrame, column: str, shown: Any) -> str:
    """Lists the values of a column by dataset; one value if all datasets have the same."""
    found = {}
    for dataset, group in rows.groupby("dataset", sort=False):
        values = [value for value in group[column].dropna().unique() if value != ""]
        found[dataset] = " or ".join(shown(value) for value in values) or "unknown"
    if len(set(found.values())) == 1:
        return tex(next(iter(found.values())))
    return tex(", ".join(f"{dataset} {value}" for dataset, value in found.items()))


def _plain(name: str) -> str:
    """Writes a name in LaTeX; a long one is cut."""
    return tex(name if len(name) <= 20 else f"{name[:19]}…")


def _breakable(name: str) -> str:
    """Writes a name that may be broken between any two signs, left-aligned."""
    pieces = [name[start : start + 6] for start in range(0, len(name), 6)]
    return r"\raggedright " + r"\allowbreak{}".join(map(tex, pieces))
