"""Writes scores for people: rates in percent, and no more digits than an interval supports."""

from __future__ import annotations

import math

from reports.formats import readable
from reports.statistics.intervals import RATE, SCALES


def is_rate(metric: str) -> bool:
    """Says whether a metric is a share of test samples, which is written in percent."""
    return SCALES.get(metric) is RATE


def factor(metric: str) -> int:
    """Returns what a score is multiplied by before it is written: 100 for rates, else 1."""
    return 100 if is_rate(metric) else 1


def score_texts(metric: str, mean: float, low: float, high: float) -> tuple[str, str, str]:
    """Writes a mean and the ends of its interval; rates in percent, with 1 or 2 decimals.

    Args:
        metric: the metric's name, without its split.
        mean, low, high: in the metric's own unit; NaN if there is none.

    Returns:
        The mean, the low end and the high end; empty texts for what is missing.
    """
    mean, low, high = (factor(metric) * value for value in (mean, low, high))
    if math.isnan(mean):
        return "", "", ""
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return (f"{mean:.1f}" if is_rate(metric) else readable(mean)), "", ""
    decimals = max(0, 1 - math.floor(math.log10(half)))
    decimals = min(2, max(1, decimals)) if is_rate(metric) else decimals
    return f"{mean:.{decimals}f}", f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def score_text(metric: str, score: float) -> str:
    """Writes a single score: rates as `97.4 %`, others with four digits."""
    text, _, _ = score_texts(metric, score, math.nan, math.nan)
    return f"{text} %" if text and is_rate(metric) else text


def published_text(metric: str, figure: float) -> str:
    """Writes a published figure with the digits that it was published with, up to four."""
    return f"{round(100 * figure, 2):g} %" if is_rate(metric) else f"{figure:.4g}"


def difference_text(metric: str, difference: float) -> str:
    """Writes a difference of two scores without its unit: of rates in points of a hundred."""
    if math.isnan(difference):
        return ""
    return f"{100 * difference:.1f}" if is_rate(metric) else f"{difference:.3g}"


def difference_words(metric: str, difference: float) -> str:
    """Writes a difference of two scores with its unit, such as `2.4 points`."""
    text = difference_text(metric, difference)
    return f"{text} points" if is_rate(metric) else text


def duration_text(seconds: float) -> str:
    """Writes a time such as `4.2 s`, `12 min` or `3.1 h`; empty for NaN."""
    if math.isnan(seconds):
        return ""
    for limit, length, unit in ((120, 1, "s"), (7200, 60, "min"), (math.inf, 3600, "h")):
        if seconds < limit:
            return f"{float(f'{seconds / length:.2g}'):g} {unit}"
    return ""
