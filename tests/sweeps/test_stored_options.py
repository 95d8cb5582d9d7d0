"""Tests that `sweep.json` restores the options of a sweep, also as earlier versions wrote it."""

from __future__ import annotations

import json
from pathlib import Path

from sweeps.options import Options
from sweeps.stored_options import load_options, save_options


def test_finals_that_an_earlier_version_called_seeds_are_restored(tmp_path: Path) -> None:
    choice = Options(data=tmp_path, finals=3)
    save_options(choice, tmp_path)
    path = tmp_path / "sweep.json"
    stored = json.loads(path.read_text())
    stored["options"]["seeds"] = stored["options"].pop("finals")
    path.write_text(json.dumps(stored))
    assert load_options(tmp_path) == choice
