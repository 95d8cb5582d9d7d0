"""Measures how often the printed intervals and marks are right, where the truth is known.

    python -m tests.tools.measured_coverage

prints the table of docs/reading-the-tables.md: of 100 drawn tables, in how many a sentence that the
reports print is true; the lowest and the highest of its cases. The tests draw fewer tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy.random import Generator

from reports.statistics.aggregates import Error, skill
from reports.statistics.intervals import SeedScores, estimate
from reports.statistics.means import Difference, paired
from reports.statistics.multiple_comparisons import compare_with_best
from tests.reports.simulated import as_scores, errors, rates, right_answers, share, true_rates

SEEDS = (3, 5, 10)
TESTED = (64, 2000, 0)
"""Numbers of test images; 0: so many that only seeds matter, and scores have no steps."""
TRUE = (0.1, 0.5, 0.9, 0.99)
"""Accuracies over infinitely many seeds and images."""
SPREADS = (0.05, 0.2, 0.5)
"""Standard deviations between seeds, as `true_rates` has them."""
VARIANTS = (2, 5, 7)

Cases = Iterator[tuple[str, float]]
"""Names of cases, each with the share of tables in which the sentence is true."""
Tables = list[tuple[SeedScores, ...]]


def means_of_rates(draw: Generator, seeds: int, tables: int) -> Cases:
    return _means_of_rates(draw, seeds, tables, TESTED, agreement=1.0)


def means_where_seeds_disagree(draw: Generator, seeds: int, tables: int) -> Cases:
    return _means_of_rates(draw, seeds, tables, (64, 2000), agreement=0.0)


def _means_of_rates(
    draw: Generator, seeds: int, tables: int, sizes: tuple[int, ...], agreement: float
) -> Cases:
    for tested, p, spread in product(sizes, TRUE, SPREADS):
        drawn = rates(draw, tables, p, spread, seeds, tested, agreement=agreement)
        found = [estimate(one) for one in drawn]
        yield f"{tested} {p} {spread}", share(one.low <= p <= one.high for one in found)


def means_of_errors(draw: Generator, seeds: int, tables: int) -> Cases:
    for spread in (0.01, 0.1, 0.3):
        found = [estimate(one) for one in errors(draw, tables, 150, spread, seeds)]
        yield f"{spread}", share(one.low <= 150 <= one.high for one in found)


def skills(draw: Generator, seeds: int, tables: int) -> Cases:
    floor = 0.875
    for true in ((0.9, 0.5), (0.99, 0.98), (0.97, 0.9, 0.6, 0.4), (0.99,) * 5):
        truth = 1 - float(np.mean([(1 - p) / floor for p in true]))
        for tested, spread in product(TESTED, SPREADS):
            columns = [rates(draw, tables, p, spread, seeds, tested) for p in true]
            rows = zip(*columns, strict=True)
            found = [skill([Error(one, floor) for one in row]) for row in rows]
            held = share(one.low <= truth <= one.high for one in found)
            yield f"{true} {tested} {spread}", held


def differences(draw: Generator, seeds: int, tables: int) -> Cases:
    """Measures differences of two folders whose networks err on different images."""
    for tested, (ours, theirs), spread in product(TESTED, _PAIRS, SPREADS):
        a = rates(draw, tables, ours, spread, seeds, tested)
        b = rates(draw, tables, theirs, spread, seeds, tested)
        yield f"{tested} {ours} {theirs} {spread}", _covered(a, b, tested, ours - theirs)


def differences_on_the_same_images(draw: Generator, seeds: int, tables: int) -> Cases:
    for tested, (ours, theirs), spread in product((64, 2000), _PAIRS, SPREADS):
        true = np.hstack([true_rates(draw, tables, p, spread, seeds) for p in (ours, theirs)])
        right = right_answers(draw, true, tested) / tested
        a, b = (as_scores(half, tested) for half in np.hsplit(right, 2))
        yield f"{tested} {ours} {theirs} {spread}", _covered(a, b, tested, ours - theirs)


_PAIRS = ((0.5, 0.5), (0.9, 0.9), (0.9, 0.8), (0.99, 0.99), (0.99, 0.9))


def _covered(a: list[SeedScores], b: list[SeedScores], tested: int, truth: float) -> float:
    found = [difference(*pair, tested) for pair in zip(a, b, strict=True)]
    # Folders with equal scores in each pair have no interval.
    ends = [one.interval(0.05) for one in found if one.known]
    return share(low - 1e-9 <= truth <= high + 1e-9 for low, high in ends)


def difference(a: SeedScores, b: SeedScores, tested: int) -> Difference:
    ours, theirs = (dict(enumerate(one.values)) for one in (a, b))
    return paired(ours, theirs, tested=tested)


def marks_of_equal_variants(draw: Generator, seeds: int, tables: int) -> Cases:
    for n, tested, p, spread in product(VARIANTS, TESTED, (0.5, 0.99), (0.05, 0.5)):
        columns = [rates(draw, tables, p, spread, seeds, tested) for _ in range(n)]
        yield f"{n} {tested} {p} {spread}", kept([*zip(*columns, strict=True)], "maximize")


def marks_of_unequal_spreads(draw: Generator, seeds: int, tables: int) -> Cases:
    """Measures marks of equal errors, where one variant varies more or has fewer seeds."""
    for n, times, others in product(VARIANTS, (1 / 3, 3, 8), (seeds, 10)):
        columns = [errors(draw, tables, 150, 0.03 * times, seeds)]
        columns += [errors(draw, tables, 150, 0.03, others) for _ in range(n - 1)]
        yield f"{n} {times:.2g} {others}", kept([*zip(*columns, strict=True)], "minimize")


def kept(tables: Tables, direction: str) -> float:
    """Returns in what share of tables the variant that is called worse most often is not.

    Args:
        tables: the scores of variants, all of which are truly best.
        direction: `maximize` or `minimize`.
    """
    found = [[one.mark != "worse" for one in compare_with_best(t, direction)] for t in tables]
    return min(share(column) for column in zip(*found, strict=True))


def bounds_of_what_is_behind(draw: Generator, seeds: int, tables: int) -> Cases:
    """Measures `behind_at_most` of five variants, for all rows at once."""
    true = (0.9, 0.9, 0.88, 0.8, 0.5)
    for tested, spread in product(TESTED, SPREADS):
        columns = [rates(draw, tables, p, spread, seeds, tested) for p in true]
        found = (compare_with_best(table, "maximize") for table in zip(*columns, strict=True))
        held = [
            all(max(true) - p <= one.at_most + 1e-9 for p, one in zip(true, row, strict=True))
            for row in found
        ]
        yield f"{tested} {spread}", share(held)


CLAIMS: dict[str, Callable[[Generator, int, int], Cases]] = {
    "an accuracy's interval includes its true mean; seeds err on the same images": means_of_rates,
    "the same; each seed errs on other images": means_where_seeds_disagree,
    "an error's interval includes its true mean": means_of_errors,
    "a skill's interval includes the true skill of two, four or five datasets": skills,
    "the interval of `better` includes the true difference; folders err on other images": (
        differences
    ),
    "the same; folders err on the same images": differences_on_the_same_images,
    "a truly best variant is not `worse`; two, five or seven equal ones": marks_of_equal_variants,
    "the same; one varies a third to 8 times as much, others have as many seeds or ten": (
        marks_of_unequal_spreads
    ),
    "`behind_at_most` holds for all rows at once": bounds_of_what_is_behind,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=2000, help="tables per case")
    parser.add_argument("--all", action="store_true", help="print each case")
    options = parser.parse_args()
    print("| sentence | 3 seeds | 5 seeds | 10 seeds |\n| --- | --- | --- | --- |")
    for name, claim in CLAIMS.items():
        cells = []
        for seeds in SEEDS:
            found = dict(claim(np.random.default_rng(seeds), seeds, options.tables))
            if options.all:
                print(
                    *(f"  {100 * held:5.1f}  {seeds}: {case}" for case, held in found.items()),
                    sep="\n",
                )
            cells.append(f"{100 * min(found.values()):.0f} to {100 * max(found.values()):.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
