"""A sweep's options, kept with its results as `sweep.json`. Importing this is cheap."""

from __future__ import annotations

import json
import os
import re
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from benchmarks import datasets, profiles
from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.logs import PLAIN, Logging
from benchmarks.profiles import Name
from models import registry
from sweeps.strategy import Sampler

EPOCH_HOURS = 12.0
"""So long a worker may take from epoch to epoch, before it is taken to hang."""


LOCK = ".driver.lock"
"""The file in a results folder that its driver holds."""

STOP = ".stop"
"""The file in a results folder that asks its driver to leave."""


class EngineName(StrEnum):
    """How runs are spread; engines.py makes them."""

    inline = "inline"
    processes = "processes"
    dask = "dask"


class Device(StrEnum):
    """Where models are trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Options(BaseModel):
    """What the command line says. None: the profile's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Name = Name.quick
    data: Path
    only: tuple[str, ...] = ()
    engine: EngineName = EngineName.processes
    workers: int = Field(ge=1)
    scheduler: str | None = None
    sampler: Sampler | None = None
    storage: str | None = None
    """Of the studies: a database's URL, or the absolute path of a journal file; none: SQLite."""
    epoch_hours: float = Field(EPOCH_HOURS, gt=0, le=1e6)
    trials: int | None = Field(None, ge=0)
    """0: no search, finals of the recipe alone."""
    added: int = Field(0, ge=0)
    """Trials that `python -m sweeps add` added to a study."""
    seeds: int | None = Field(None, ge=1)
    device: Device = Device.auto
    start: dict[str, list[dict[str, JsonValue]]] = {}
    """Points that studies try after the recipe, by cell, as variant/dataset."""
    log: Logging = PLAIN
    offline: bool = False

    def save(self, results: Path) -> None:
        """Keeps them with the results; but for a password, which is nobody else's."""
        kept = self.model_dump(mode="json")
        if self.storage is not None:
            kept["storage"] = without_password(self.storage)
        write_json(results / "sweep.json", {"options": kept})

    def trials_asked(self, profile: profiles.Profile) -> int:
        """Says how many trials the command line or the profile asks for; counts.py adds to them."""
        return profile.trials if self.trials is None else self.trials

    def finals_asked(self, profile: profiles.Profile) -> int:
        """Says how many finals a cell has: the command line's number, or the profile's."""
        return profile.finals if self.seeds is None else self.seeds

    def grown(self, trials: int, seeds: int, only: tuple[str, ...]) -> Options:
        """Adds to these options: trials per study, finals per cell, cells. Raises InputError."""
        choose(only)
        profile = profiles.load(self.profile)
        return self.model_copy(
            update={
                "added": self.added + trials,
                "seeds": self.finals_asked(profile) + seeds,
                "only": (*self.only, *only) if self.only else (),
            }
        )


def load(results: Path) -> Options:
    """The options that a results folder was made with. Raises InputError."""
    path = results / "sweep.json"
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return Options.model_validate(content["options"])
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{results} holds no sweep to go on with: begin one with `python -m sweeps run`, or "
            "name its folder with --results"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} does not hold a sweep's options ({' '.join(str(error).split())}): call "
            "`python -m sweeps run` with the options wanted, which writes it anew"
        ) from None


def ask_to_stop(results: Path) -> None:
    """Asks the driver of a results folder to leave. Raises InputError where none is at work."""
    path = results / LOCK
    if path.exists():
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            (results / STOP).touch()
            return
        lock.release()
    raise InputError(f"no sweep is at work in {results}: name its folder with --results")


_SECRET = re.compile(r"pass(?!file)|pwd|secret|token", re.IGNORECASE)
"""What the names of a URL's parameters hold whose values are nobody else's."""


def without_password(url: str) -> str:
    """Returns a database's URL without its password, or a path as it is."""
    if "://" not in url:
        return url
    place, mark, query = re.sub(r"^([^/@]*://[^:/@]*):.*@", r"\1@", url).partition("?")
    kept = [pair for pair in query.split("&") if not _SECRET.search(_name(pair))]
    return place + mark + "&".join(kept) if kept else place


def passwords_in(url: str) -> list[str]:
    """Lists what of a database's URL may not be printed, as it is written and decoded."""
    found: list[str] = []
    if (user := re.match(r"[^/@]*://[^:/@]*:(.*)@", url)) is not None:
        found += user[1].split("@")  # a driver takes the first @ for the end of a password
    for pair in url.partition("?")[2].split("&"):
        if _SECRET.search(_name(pair)):
            found.append(pair.partition("=")[2])
    return [text for part in found if part for text in {part, unquote_plus(part)}]


def _name(pair: str) -> str:
    """Returns the name of a parameter written as name=value."""
    return unquote_plus(pair.partition("=")[0])


def matrix() -> list[tuple[str, str]]:
    """Every cell: (variant, dataset)."""
    return [(v, d) for v in registry.available() for d in datasets.names()]


def choose(patterns: tuple[str, ...], *, option: str = "--only") -> list[tuple[str, str]]:
    """The cells whose `variant/dataset` matches one of the patterns; all, where there is none.

    Raises InputError, which names the option, for a pattern that matches nothing.
    """
    cells = {f"{v}/{d}": (v, d) for v, d in matrix()}
    chosen = set()
    for pattern in patterns:
        found = {cell for cell in cells if fnmatchcase(cell, pattern)}
        if not found:
            raise InputError(
                f"{option} {pattern!r} matches no cell: write variant/dataset, with * for any, as "
                f"`python -m sweeps list` names them; "
                f"{registry.nearest(pattern, cells, cutoff=0.3)}"
            )
        chosen |= found
    return [pair for cell, pair in cells.items() if not patterns or cell in chosen]


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
