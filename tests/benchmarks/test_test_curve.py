"""Tests that a curve of test scores is a final's own, and decides nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.curves import draw_run_curves
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.spec import RunSpec
from benchmarks.specs.specification import specify
from tests.benchmarks.test_run import made, made_until_checkpoint, spec_of

CASES: dict[str, dict[str, Any]] = {
    "cnn": {"width": 4, "dropout": 0.3},
    "convlstm": {"hidden_channels": 4, "patch_size": 8, "batch_size": 8},
    "autoencoder": {"width": 4},
}


def with_curve(spec: RunSpec) -> RunSpec:
    return RunSpec.model_validate(spec.model_dump() | {"test_curve": True})


@pytest.mark.parametrize("variant", CASES)
def test_a_final_has_test_scores_of_each_epoch_and_the_same_weights(
    variant: str, tmp_path: Path
) -> None:
    plain = spec_of(variant, epochs=2, role="final", **CASES[variant])
    spec = with_curve(plain)
    record = made(spec, tmp_path)
    lines = RunFolder(tmp_path, spec.run_id).metrics.read_text().splitlines()
    first, last = (json.loads(line)["metrics"] for line in lines)

    scores = {k: v for k, v in record.metrics.items() if k.startswith("test/")}
    assert scores
    assert {k: v for k, v in last.items() if k.startswith("test/")} == scores
    assert first.keys() == last.keys()
    assert any(first[k] != last[k] for k in scores)
    assert draw_run_curves(RunFolder(tmp_path, spec.run_id).path, "title") is not None
    without = made(plain, tmp_path)
    assert (record.weights_sha256, record.metrics) == (without.weights_sha256, without.metrics)
    assert "test_curve" not in plain.model_dump(mode="json")


def test_a_resumed_run_has_the_same_curve(tmp_path: Path) -> None:
    spec = with_curve(spec_of("cnn", epochs=2, role="final", **CASES["cnn"]))
    whole = made(spec, tmp_path / "whole")
    made_until_checkpoint(spec, tmp_path / "killed", kills=4)
    assert made(spec, tmp_path / "killed").digest == whole.digest


def test_only_a_final_has_a_test_curve() -> None:
    with pytest.raises(ValidationError, match="add --final"):
        with_curve(spec_of("linear"))


def test_what_is_not_trained_by_gradients_has_no_test_curve() -> None:
    with pytest.raises(InputError, match=r"kmeans is not trained .* leave --test-curve out"):
        specify("kmeans", "usps", role="final", test_curve=True)
