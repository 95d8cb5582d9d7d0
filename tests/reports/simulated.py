"""Draws scores whose true means are known, for tests of error levels and of coverage."""

import numpy as np

from reports.intervals import SeedScores

EQUAL = 7
"""As many variants as a task has."""


def rates(draw, tables, p, spread, seeds, tested, *, agreement=1.0):
    """Draws accuracies of one variant: a list of `SeedScores`, one per table.

    Args:
        draw: a NumPy generator.
        tables: how many to draw.
        p: the true accuracy.
        spread: standard deviation between seeds of the true accuracy of a network.
        tested: number of test samples; scores are multiples of 1 / tested.
        agreement: on this share of the test samples all seeds are right or all are wrong; on the
            others, each seed draws anew.
    """
    common = round(agreement * tested)
    right = draw.binomial(common, p, size=(tables, 1))
    true = np.clip(p + spread * draw.normal(size=(tables, seeds)), 0, 1)
    moved = np.rint((true - p) * common)
    scores = np.clip(right + moved + draw.binomial(tested - common, true), 0, tested) / tested
    return [SeedScores(tuple(row), "accuracy", tested) for row in scores.tolist()]


def errors(draw, tables, middle, spread, seeds):
    """Draws errors of one variant with the true mean `middle`; `spread` is relative to it."""
    noise = np.exp(spread * draw.normal(size=(tables, seeds)) - spread**2 / 2)
    return [SeedScores(tuple(row), "mse") for row in (middle * noise).tolist()]


def share(truths):
    return sum(truths) / len(truths)
