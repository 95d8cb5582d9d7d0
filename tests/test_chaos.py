"""Runs a small part of the chaos suite; all of it is `python -m tests.tools.chaos --kills 100`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.options import EngineName
from tests.tools.chaos import attack


@pytest.mark.slow
def test_a_few_kills_and_damages_change_nothing(tmp_path: Path) -> None:
    tally = attack(tmp_path, kills=3, seed=1, engines=[EngineName.processes])
    assert tally.kills == 3
    assert tally.different == []
