"""Profiles: how much a run may spend, and how far a sweep searches. See profiles.yaml."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.spec import Budget


class Name(StrEnum):
    """The profiles, by growing expense."""

    smoke = "smoke"
    quick = "quick"
    standard = "standard"
    paper = "paper"


class Profile(BaseModel):
    """One profile of profiles.yaml, whose head explains each entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    download: Literal["none", "small", "all"]
    trials: int = Field(ge=1)
    finals: int = Field(ge=1)
    lag: int = Field(ge=1)
    startup: int = Field(ge=1)
    warmup: int = Field(ge=0)
    threads: int = Field(ge=1)
    budgets: dict[str, Budget]


def load(name: Name) -> Profile:
    """Reads one profile."""
    import yaml

    text = (Path(__file__).parent / "profiles.yaml").read_text(encoding="utf-8")
    entry: dict[str, Any] = yaml.safe_load(text)[name.value]
    budgets = {task: {"profile": name.value, **b} for task, b in entry.pop("budgets").items()}
    return Profile.model_validate({"name": name, "budgets": budgets, **entry})
