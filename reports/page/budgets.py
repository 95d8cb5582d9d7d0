"""Says how much training differs between the variants of a profile."""

from __future__ import annotations

from collections.abc import Iterable

from reports.formats import one_line
from reports.results import Results
from reports.tables.cell_costs import training


def budget_sentences(results: Results) -> list[str]:
    """Writes one sentence for each profile in which variants of a task train unequally."""
    found: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for cell in results.cells:
        epochs, samples = training(cell)
        if epochs and samples:
            tasks = found.setdefault(cell.profile, {})
            tasks.setdefault(cell.task, []).append((epochs, samples))
    sentences = []
    for profile, tasks in found.items():
        unequal = {task: spent for task, spent in tasks.items() if len(set(spent)) > 1}
        if unequal:
            said = "; ".join(f"{task}: {_ranges(spent)}" for task, spent in unequal.items())
            sentences.append(
                one_line(
                    f"Profile {profile} gives variants unequal training ({said}); the Leaderboard "
                    "and Costs have it by variant."
                )
            )
    return sentences


def _ranges(spent: Iterable[tuple[int, int]]) -> str:
    epochs, samples = (sorted(set(column)) for column in zip(*spent, strict=True))
    return f"{_range(samples)} samples, {_range(epochs)} epoch{'' if epochs == [1] else 's'}"


def _range(amounts: list[int]) -> str:
    low, high = amounts[0], amounts[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
