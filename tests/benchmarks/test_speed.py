"""What `python -m benchmarks speed` measures; how fast anything is, is not tested."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from benchmarks import overhead
from benchmarks.__main__ import app


def test_a_variant_stands_beside_its_textbook_version() -> None:
    call = ["speed", "autoencoder", "--batch", "8", "--threads", "1", "--set", "code_dims=8"]
    told = CliRunner().invoke(app, [*call, "--profiled"])
    assert told.exit_code == 0, told.output
    cells = r"autoencoder +│ 8 +│ {} +│ +[\d.,]+ │ +[\d.]+ │ +\d+% │ +[\d,]+ │ +[\d,]+ │"
    for precision in ("float32", "bfloat16"):
        assert re.search(cells.format(precision), told.output), told.output
    assert re.search(r"peak, a matrix product: \d+ to \d+ in float32", told.output), told.output
    assert re.search(r"aten::\w+ +│ +[\d.]+ │ +[\d.]+ │ +\d+% │", told.output), told.output


def test_a_run_stands_beside_a_bare_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "STEPS", {"linear": 3})
    monkeypatch.setattr(overhead, "ROUNDS", 1)
    loop, ours, ratio, fixed = map(float, overhead._figures("linear", 1))
    assert loop > 0
    assert ours > 0
    assert ratio == pytest.approx(ours / loop, rel=0.05)
    assert fixed > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "code_dims=8"], "--set is of one variant: name one"),
        (["autoencoder", "--set", "coed_dims=8"], "no hyper-parameter 'coed_dims'"),
    ],
)
def test_settings_are_of_one_variant_and_known(arguments: list[str], told: str) -> None:
    found = CliRunner().invoke(app, ["speed", *arguments])
    assert told in str(found.exception), found.output
