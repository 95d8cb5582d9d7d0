"""Tests that an offline run of Weights & Biases has the tables, complete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reports.results import read_results
from reports.tables import build_tables
from reports.wandb_tables import SHOWN, log_tables
from tests.reports.results_folder import sweep


def test_an_offline_run_has_the_leaderboard_and_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    root = sweep(variants=("linear",), datasets=("mnist",)).write(tmp_path / "results")
    tables = build_tables(read_results(root), SHOWN)
    folder = log_tables(tables, root)
    assert folder.parent == root / "wandb"
    for name in SHOWN:
        (file,) = folder.rglob(f"{name}*.table.json")
        logged = json.loads(file.read_text())
        assert logged["columns"] == list(tables[name].columns)
        assert len(logged["data"]) == len(tables[name]) > 0
