"""How tables become files: CSV, Markdown, LaTeX and Parquet, written atomically."""

from __future__ import annotations

import glob
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.records.atomic_files import replacing, write_atomically

if TYPE_CHECKING:
    import duckdb

_DUCKDB: dict[str, Any] = {
    "threads": 2,
    "memory_limit": "400MB",
    "autoinstall_known_extensions": False,
}
"""Few threads and little memory: a report is made beside a sweep that is still at work."""

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
"""Characters of a text in a table; the record holds the rest."""


_remembered = lru_cache(maxsize=65536)
"""Ten thousand runs have few different names."""


def frame(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """A table of these columns (name to dtype), its texts made fit for one."""
    table = pd.DataFrame.from_records(list(rows), columns=list(columns)).astype(dict(columns))
    for name in _texts(table):
        table[name] = table[name].map(one_line).astype("str")
    return table


@_remembered
def one_line(text: str) -> str:
    """The first line that says anything, printable and of bounded length."""
    line = next((line for line in map(str.strip, text.splitlines()) if line), "")
    line = "".join(c if c.isprintable() else " " for c in line[: LONGEST + 1])
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def stem(*words: str) -> str:
    """A name for files and anchors; words that differ only in odd characters keep apart."""
    plain = re.sub(r"[^\w.-]", "_", "-".join(words), flags=re.ASCII)[:100]
    if plain == "-".join(words):
        return plain
    return f"{plain}-{hashlib.sha256(repr(words).encode()).hexdigest()[:8]}"


def readable(number: float) -> str:
    """Four significant digits, without an exponent where a reader can do without it."""
    if math.isnan(number):
        return ""
    if number == 0:
        return "0"
    if 1e-3 <= abs(number) < 1e6:
        return f"{number:.{max(0, 3 - math.floor(math.log10(abs(number))))}f}"
    return f"{number:.3e}"


def plus_minus(mean: float, half_width: float) -> tuple[str, str]:
    """Both with the decimals that give the half-width two significant digits."""
    if not (math.isfinite(half_width) and half_width > 0):
        return readable(mean), readable(half_width)
    decimals = max(0, 1 - math.floor(math.log10(half_width)))
    return f"{mean:.{decimals}f}", f"{half_width:.{decimals}f}"


def with_interval(mean: float, low: float, high: float, of: str, by_seed: str) -> tuple[str, str]:
    """Shows a mean, and beside it the interval, with two significant digits of its half.

    Args:
        mean, low, high: the mean and the ends of its interval; NaN if there is none.
        of: what the interval includes, or why there is none.
        by_seed: the score of each seed.

    Returns:
        The mean, and words such as `0.965 to 0.981`; where there is no interval, the seeds, or that
        nothing is random.
    """
    if math.isfinite(low) and math.isfinite(high) and high > low:
        decimals = max(0, 1 - math.floor(math.log10((high - low) / 2)))
        return f"{mean:.{decimals}f}", f"{low:.{decimals}f} to {high:.{decimals}f}"
    few = f"seeds: {by_seed}" if of == "too few seeds" else ""
    return readable(mean), of if of.startswith("deterministic") else few


def csv(table: pd.DataFrame) -> str:
    """Numbers in full; a text that a spreadsheet would take for a formula is quoted with '."""
    safe = table.copy()
    for name in _texts(table):
        safe[name] = table[name].map(_no_formula)
    return safe.to_csv(index=False, lineterminator="\n")


def markdown(table: pd.DataFrame, note: str = "") -> str:
    """The same rows for reading: rounded numbers, texts escaped, the note beneath."""
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
    """The same rows as a booktabs `longtable`; every text is a text, whatever is in it."""
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
    """A booktabs `longtable` of cells that are LaTeX already."""
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
    """LaTeX that prints a text, in any engine; what its fonts lack is named by its code point."""
    signs = (_TEX.get(c, c if c < "\x7f" or c in _TEX_PRINTS else _code_point(c)) for c in text)
    return re.sub("-(?=-)", "-{}", "".join(signs))


def connection() -> duckdb.DuckDBPyConnection:
    """A connection of this process's database in memory, to be closed; making one takes 20 ms."""
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config=_DUCKDB)


def literal(path: Path) -> str:
    """Says a file's path to DuckDB, which expands ~ and patterns, and takes file: for a scheme."""
    return glob.escape(str(path.absolute()))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Writes a table as Parquet; equal tables give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with connection() as database, replacing(path.absolute()) as temporary:
        database.from_df(table).write_parquet(str(temporary), compression="zstd")


def write(path: Path, content: str | bytes) -> None:
    """Writes a file, whole or not at all, and makes its folder where there is none."""
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
    """LaTeX that may break within long words, such as digests."""
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
    """Markdown's signs as text; an underscore within a word means nothing and stays readable."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"([\\`*|\[\]~$])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
