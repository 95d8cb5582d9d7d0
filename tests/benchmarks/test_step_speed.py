"""Tests the table of `capsbench speed`; speed itself is not tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.speed import overhead, processor

SPEED = ["speed", "autoencoder", "--batch", "8", "--threads", "1", "--set", "code_dims=8"]
ROW = r"autoencoder +8 +{} +[\d.,]+ +[\d.]+ +\d+% +[\d,]+ +[\d,]+ +[\d,]+\n"


def test_a_variant_has_a_row_beside_its_textbook_version() -> None:
    """Each precision that is not slow has a row with the speed relative to the textbook version."""
    found = CliRunner().invoke(app, [*SPEED, "--profiled"])
    assert found.exit_code == 0, found.output
    assert re.search(ROW.format("float32"), found.output), found.output
    low = re.search(ROW.format("bfloat16"), found.output)
    assert bool(low) == ("bfloat16 is left out" not in found.output), found.output
    assert re.search(r"aten::\w+ +│ +[\d.]+ │ +[\d.]+ │ +\d+% │", found.output), found.output


def test_a_format_without_units_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a slow format, one product of side 3072 took two and a half minutes."""
    monkeypatch.setattr(processor, "slowdown", lambda dtype: 31.4)
    found = CliRunner().invoke(app, SPEED)
    assert found.exit_code == 0, found.output
    assert "bfloat16 is left out" in found.output
    assert "31 times as long as in float32" in found.output
    assert re.search(ROW.format("float32"), found.output), found.output
    assert not re.search(ROW.format("bfloat16"), found.output), found.output


def test_a_processor_without_bfloat16_units_is_recognised() -> None:
    """Environment variables limit oneDNN and ATen to AVX2, as on most laptops."""
    code = (
        "from benchmarks.speed.processor import missing_units\n"
        "print(missing_units('bf16-mixed', 'cpu'))"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "no hardware for bfloat16" in found.stdout


@pytest.mark.parametrize("question", [("32-true", "cpu"), ("bf16-mixed", "cuda")])
def test_only_formats_of_the_processor_are_timed(
    question: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "slowdown", lambda dtype: 31.4)
    assert processor.missing_units(*question) is None


def test_a_run_in_a_slow_format_warns_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processor, "slowdown", lambda dtype: 31.4)
    call = ["run", "linear", "mnist", "--profile", "smoke", "--precision", "bf16-mixed"]
    found = CliRunner().invoke(app, [*call, "--offline", "--results", str(tmp_path)])
    assert found.exit_code == 0, found.output
    warning, epoch = found.output.find("31 times as long"), found.output.find("epoch 1/1")
    assert 0 <= warning < epoch, found.output


def test_a_run_is_timed_beside_a_bare_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "STEPS", {"linear": 3})
    monkeypatch.setattr(overhead, "ROUNDS", 1)
    loop, ours, ratio, fixed = map(float, overhead._figures("linear", 1))
    assert loop > 0
    assert ours > 0
    assert ratio == pytest.approx(ours / loop, rel=0.05)
    assert fixed > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "code_dims=8"], "--set applies to one variant: name exactly one"),
        (["autoencoder", "--set", "coed_dims=8"], "no hyper-parameter 'coed_dims'"),
    ],
)
def test_settings_are_of_one_variant_and_known(arguments: list[str], message: str) -> None:
    found = CliRunner().invoke(app, ["speed", *arguments])
    assert message in str(found.exception), found.output
