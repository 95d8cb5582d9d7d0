"""Formats tables as CSV, Markdown, LaTeX and Parquet, and writes files atomically."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.records.atomic_files import replacing, write_atomically

SCORE_COLUMNS = {
    "metric": "str",
    "direction": "str",
    "mean": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "seeds": "int64",
    "ci_of": "str",
}
"""The columns of a score in each table that has one, with their dtypes."""

LONGEST = 300
"""Characters of a text in a table, at most; the record has the whole text."""


_remembered = lru_cache(maxsize=65536)
"""Remembers results: ten thousand runs have few different names."""


def frame(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Makes a table with these columns (dtype by name); each text becomes one printable line."""
    texts = [dtype == "str" for dtype in columns.values()]
    # Before pandas gets the texts: Arrow refuses those that UTF-8 cannot hold.
    clean = [
        tuple(one_line(v) if text else v for v, text in zip(row, texts, strict=True))
        for row in rows
    ]
    return pd.DataFrame.from_records(clean, columns=list(columns)).astype(dict(columns))


@_remembered
def one_line(text: str) -> str:
    """Returns the first line that is not blank, printable and at most `LONGEST` long."""
    line = next((line for line in map(str.strip, text.splitlines()) if line), "")
    line = "".join(c if c.isprintable() else " " for c in line[: LONGEST + 1])
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def stem(*words: str) -> str:
    """Makes a name for files and anchors; different words give different names."""
    plain = re.sub(r"[^\w.-]", "_", "-".join(words), flags=re.ASCII)[:100]
    if plain == "-".join(words):
        return plain
    return f"{plain}-{hashlib.sha256(repr(words).encode()).hexdigest()[:8]}"


def readable(number: float) -> str:
    """Writes a number with four significant digits, and a whole number without decimals.

    From 0.001 to a million, there is no exponent.
    """
    if math.isnan(number):
        return ""
    if number.is_integer() and abs(number) < 1e6:
        return f"{number:.0f}"
    if 1e-3 <= abs(number) < 1e6:
        return f"{number:.{max(0, 3 - math.floor(math.log10(abs(number))))}f}"
    return f"{number:.3e}"


def with_interval(mean: float, low: float, high: float, of: str, by_seed: str) -> tuple[str, str]:
    """Shows a mean, and beside it the interval, with two significant digits of its half.

    Args:
        mean, low, high: the mean and the ends of its interval; NaN if there is none.
        of: what the interval includes, or why there is none.
        by_seed: the score of each seed, in brackets.

    Returns:
        The mean, and words such as `0.965 to 0.981`; where there is no interval, the seeds, or that
        nothing is random.
    """
    if math.isfinite(low) and math.isfinite(high) and high > low:
        decimals = max(0, 1 - math.floor(math.log10((high - low) / 2)))
        return f"{mean:.{decimals}f}", f"{low:.{decimals}f} to {high:.{decimals}f}"
    few = f"seeds: {by_seed.strip('[]')}" if of == "too few seeds" else ""
    return readable(mean), of if of.startswith("deterministic") else few


BYTE_ORDER_MARK = "\ufeff"
"""Begins each CSV file, without which Excel takes UTF-8 for another encoding; pandas skips it."""


def csv(table: pd.DataFrame) -> str:
    """Writes a table as CSV, with all digits.

    A text that a spreadsheet would take for a formula gets a quotation mark (').
    """
    safe = table.copy()
    for name in _texts(table):
        safe[name] = table[name].map(_no_formula)
    return safe.to_csv(index=False, lineterminator="\n")


def markdown(table: pd.DataFrame, note: str = "") -> str:
    """Writes a table in Markdown with rounded numbers, and the note below it."""
    from tabulate import tabulate

    columns = [map(_shown, table[name]) for name in table]
    texts = set(_texts(table))
    text = tabulate(
        list(zip(*columns, strict=True)),
        headers=list(table),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left" if name in texts else "right" for name in table] if len(table) else None,
    )
    return f"{text}\n\n{note}" if note else f"{text}\n"


def latex(table: pd.DataFrame) -> str:
    """Writes a table as a booktabs `longtable`; no text in it is taken for LaTeX."""
    texts = set(_texts(table))
    wide = {name for name in texts if table[name].str.len().max() > 30}
    columns = (
        r">{\raggedright\arraybackslash}p{5cm}" if name in wide else "l" if name in texts else "r"
        for name in table
    )
    broken = [str(name) in wide for name in table]
    shown = [
        [
            _breakable(value) if breaks else _latex_shown(value)
            for value, breaks in zip(row, broken, strict=True)
        ]
        for row in table.itertuples(index=False)
    ]
    return longtable("".join(columns), [tex(str(name)) for name in table], shown)


def longtable(columns: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Writes a booktabs `longtable` of cells that are LaTeX already."""
    return "\n".join(
        (
            rf"\begin{{longtable}}{{{columns}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            r"\endhead",
            r"\bottomrule",
            r"\endlastfoot",
            *(" & ".join(row) + r" \\" for row in rows),
            r"\end{longtable}",
            "",
        )
    )


@_remembered
def tex(text: str) -> str:
    """Writes LaTeX that prints a text; a sign that fonts lack is printed as its code point."""
    signs = (_TEX.get(c, c if c < "\x7f" or c in _TEX_PRINTS else _code_point(c)) for c in text)
    return re.sub("-(?=-)", "-{}", "".join(signs))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as Parquet; equal tables give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path.absolute()) as temporary:
        table.to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)


def write(path: Path, content: str | bytes) -> None:
    """Writes a file atomically, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.encode() if isinstance(content, str) else content)


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "≈": r"$\approx$",
    "…": r"\dots{}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
    **{sign: f"{{{sign}}}" for sign in "[]*`'?!"},  # else options of \\, or ligatures
}
_TEX_PRINTS = frozenset("–—×±²³·°") | {chr(code) for code in range(0xC0, 0x100)}


def _code_point(sign: str) -> str:
    return rf"\texttt{{U+{ord(sign):04X}}}"


def _breakable(text: str) -> str:
    """Writes LaTeX that may be broken within long words, such as digests."""
    pieces = ([word[i : i + 20] for i in range(0, len(word), 20)] for word in text.split(" "))
    return " ".join(r"\allowbreak{}".join(map(tex, piece)) for piece in pieces)


def _latex_shown(value: Any) -> str:
    if isinstance(value, str):
        return tex(value)
    if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"${readable(value)}$" if isinstance(value, float) else str(value)


def _texts(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if table[name].dtype == "str"]


@_remembered
def _no_formula(text: str) -> str:
    if not text.startswith(("=", "+", "-", "@")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return _escape(value)
    if value is pd.NA:
        return ""
    return readable(value) if isinstance(value, float) else str(value)


@_remembered
def _escape(text: str) -> str:
    """Escapes the signs of Markdown, but no underscore within a word."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\`*|\[\]~$])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
