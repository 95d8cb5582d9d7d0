"""Explains names on the page: words, data states, metrics and variants, one line each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from reports.formats import one_line
from reports.results import Results

Names = list[tuple[str, str]]


@cache
def words() -> dict[str, dict[str, str]]:
    """Reads `words.yaml`: by kind of name, the meaning of each name."""
    import yaml

    found: dict[str, dict[str, str]] = yaml.safe_load(
        (Path(__file__).parent / "words.yaml").read_text("utf-8")
    )
    return found


def glossary(results: Results) -> list[tuple[str, Names]]:
    """Lists the names that the results have, with their meanings.

    Returns:
        Pairs of a heading, and of the names with their meanings. A user's own variants and metrics
        are left out, since they have no line in `words.yaml`.
    """
    runs = results.every_run
    cells = results.cells
    states = {str(state) for run in runs if run.data for state in run.data.states}
    metrics = {name.partition("/")[2] for run in runs for name in run.metrics}
    variants = {cell.variant for cell in cells} | {run.variant for run in runs}
    shown: dict[str, set[str]] = {"data": states, "metrics": metrics, "variants": variants}
    heads = {"terms": "Words", "data": "Data", "metrics": "Metrics", "variants": "Variants"}
    return [
        (
            head,
            [
                (one_line(name), text)
                for name, text in words()[kind].items()
                if kind == "terms" or name in shown[kind]
            ],
        )
        for kind, head in heads.items()
    ]
