"""Prints a fingerprint of fitted probes; tests run this file as a script in a new process.

The module under test is loaded by its path, because importing its package also imports torch and
Lightning, which takes seconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

PLACE = Path(__file__).resolve().parents[2] / "benchmarks" / "tasks" / "probes.py"


def labelled(count: int, classes: int, dims: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws codes around one mean per class, which overlap, and labels (count, 1)."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, (count, 1))
    means = 2 * np.random.default_rng(99).standard_normal((classes, dims))
    return means[y[:, 0]] + draw.standard_normal((count, dims)), y


def fingerprint() -> str:
    """Hashes the scores of fitted probes, and the weights of regressions fitted by each solver."""
    spec = importlib.util.spec_from_file_location("probes", PLACE)
    assert spec is not None
    assert spec.loader is not None
    probes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probes)
    codes, y = labelled(3000, 10, 24)
    fitted = probes.fit_probes(codes, y, classes=10, seed=7)
    with probes._reproducible():
        weights = [
            probes._regression(count, 0.5).fit(codes, y[:, 0])[-1].coef_.tobytes()
            for count in (1, probes.NEWTON_WEIGHTS + 1)
        ]
    assert weights[0] != weights[1]
    return (
        f"{probes.score_probes(fitted, codes, y)} {hashlib.sha256(b''.join(weights)).hexdigest()}"
    )


if __name__ == "__main__":
    print(fingerprint())
