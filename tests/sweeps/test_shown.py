"""How a sweep shows its runs in Weights & Biases: as its options say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import InputError
from benchmarks.logs import Logging
from benchmarks.profiles import Name
from sweeps import options
from sweeps.options import EngineName, Options
from sweeps.sweep import sweep

SHOWN = Logging("tables", "letters", "{variant}-{role}-{seed}", upload=False, every=2)
CHOICE = Options(
    profile=Name.smoke,
    data=Path("no-such-folder"),
    only=("linear/usps",),
    engine=EngineName.inline,
    workers=1,
    trials=1,
    seeds=1,
    offline=True,
    log=SHOWN,
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Weights & Biases was called with; it then fails, which no run minds."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("wandb.init", lambda **settings: calls.append(settings))
    return calls


def test_every_run_has_the_sweeps_project_team_and_pattern(
    told: list[dict[str, Any]], tmp_path: Path
) -> None:
    sweep(CHOICE, tmp_path)
    assert {call["project"] for call in told} == {"tables"}
    assert {call["entity"] for call in told} == {"letters"}
    assert {call["mode"] for call in told} == {"offline"}
    assert [call["name"].split("-")[:2] for call in told] == [
        ["linear", "trial"],
        ["linear", "final"],
    ]
    assert {call["group"] for call in told} == {"linear-usps-smoke"}


def test_a_resumed_sweep_is_shown_as_it_was_begun(tmp_path: Path) -> None:
    CHOICE.save(tmp_path)
    assert options.load(tmp_path).log == SHOWN


def test_a_pattern_that_gives_a_chosen_variant_no_name_begins_nothing(tmp_path: Path) -> None:
    """It is told before a study is opened; a base, which has none of its fields, is no obstacle."""
    wrong = CHOICE.model_copy(update={"log": Logging(name="{lr}"), "only": ("kmeans/usps",)})
    with pytest.raises(InputError, match="no field of kmeans is called 'lr'"):
        sweep(wrong, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_base_is_called_by_its_id(told: list[dict[str, Any]], tmp_path: Path) -> None:
    log = Logging(name="{variant} of {object_capsules}")
    sweep(CHOICE.model_copy(update={"only": ("ocae/usps",), "log": log}), tmp_path)
    bases = [call for call in told if call["job_type"] == "base"]
    assert bases
    assert all(call["name"] == call["id"] for call in bases)
    others = [call["name"] for call in told if call["job_type"] != "base"]
    assert others == ["ocae of 6"] * len(others)
