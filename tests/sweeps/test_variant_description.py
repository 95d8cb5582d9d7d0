"""Tests that `capsbench options` prints bounds, ranges and choices in plain words."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from benchmarks import wording
from benchmarks.__main__ import app
from benchmarks.specs.profiles import ProfileName
from models import registry
from sweeps.studies import space
from sweeps.studies.space import range_text


class Fields(BaseModel):
    count: int = Field(1, ge=1)
    few: int = Field(1, ge=0, le=8)
    fours: int = Field(4, ge=4, multiple_of=4)
    rate: float = Field(1.0, gt=0)
    share: float = Field(0.0, ge=0, lt=1)
    part: float = Field(0.0, ge=0, le=1)
    decay: float = Field(1.0, gt=0, le=1)
    kind: Literal["conv", "residual", "wide"] = "conv"
    dims: Literal[4, 6] = 6
    flag: bool = False


BOUNDS = {
    "count": "whole number, at least 1",
    "few": "whole number, 0 … 8",
    "fours": "whole number, at least 4, a multiple of 4",
    "rate": "> 0",
    "share": "at least 0, < 1",
    "part": "0 … 1",
    "decay": "> 0, at most 1",
    "kind": "one of conv, residual, wide",
    "dims": "4 or 6",
    "flag": "yes or no",
}


def test_bounds_are_written_as_a_person_would() -> None:
    assert {n: wording.bounds(field) for n, field in Fields.model_fields.items()} == BOUNDS


@pytest.mark.parametrize(
    ("number", "text"),
    [(1e-4, "0.0001"), (3e-5, "0.00003"), (2.0, "2"), (1e4, "10000"), (0.0, "0"), (True, "yes")],
)
def test_numbers_have_no_exponent(number: float, text: str) -> None:
    assert wording.value(number) == text


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("variant", registry.available())
def test_every_variant_is_described(
    variant: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = CliRunner().invoke(app, ["options", variant])
    assert found.exit_code == 0, found.output
    lines = found.output.replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert max(map(len, lines)) <= columns
    cls = registry.variant(variant)
    for name in cls.Config.model_fields:
        assert any(line.startswith(f"{name} ") for line in lines), name
    assert not re.search(r"Ge\(|Le\(|Literal|<class|e-0\d", found.output)
    assert not re.search(r"\w…", found.output), "a text is cut off"
    assert ("Presets, by dataset" in found.output) == bool(cls.presets)
    assert ("Budget of the source" in found.output) == bool(cls.published_budgets)


def test_ranges_are_shown_by_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranges are those of the space files, where quick has other ranges than the rest."""
    monkeypatch.setenv("COLUMNS", "120")
    shown = CliRunner().invoke(app, ["options", "tlb"]).output
    bounds = {}
    for profile in (ProfileName.quick, ProfileName.standard):
        lr = space.load_space("tlb", registry.variant("tlb"), profile).distributions["lr"]
        bounds[profile] = range_text(lr)
    assert bounds[ProfileName.quick] != bounds[ProfileName.standard]
    wide, narrow = (
        re.escape(bounds[profile]) for profile in (ProfileName.standard, ProfileName.quick)
    )
    assert re.search(rf"^  lr +{wide}, logarithmic +all but quick *$", shown, re.MULTILINE)
    assert re.search(rf"^ +{narrow}, logarithmic +quick *$", shown, re.MULTILINE)
    shown = CliRunner().invoke(app, ["options", "capsnet"]).output
    monkeypatch.setenv("COLUMNS", "80")
    narrow_shown = CliRunner().invoke(app, ["options", "capsnet"]).output
    assert re.search(
        r"^  reconstruction_weight +0.0001 .* all but quick *$", narrow_shown, re.MULTILINE
    )
    assert re.search(
        r"0\.0001 … 0\.01, logarithmic, if reconstruction is yes +all but quick", shown
    )
