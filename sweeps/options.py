"""A sweep's options, kept with its results as `sweep.json`. Importing this is cheap."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote_plus

import typer
from filelock import FileLock, Timeout
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from benchmarks import datasets, profiles
from benchmarks.cli import Offline
from benchmarks.profiles import ProfileName
from benchmarks.records.atomic_files import write_json
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder
from benchmarks.wandb_options import PLAIN, WandbOptions
from models import registry
from sweeps.study_configuration import Sampler

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


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Options(BaseModel):
    """A sweep's options. A field with a `typer.Option` is one of `run`; None: the profile's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[ProfileName, typer.Option(help="How much a run may spend.")] = (
        ProfileName.quick
    )
    data: Path
    only: Annotated[
        tuple[str, ...],
        typer.Option(
            help="Cells to run, as variant/dataset with * for any; repeatable.", show_default=False
        ),
    ] = ()
    engine: Annotated[EngineName, typer.Option(help="Where runs are made.")] = EngineName.processes
    workers: Annotated[
        int,
        Field(ge=1),
        typer.Option(min=1, help="Runs at once; decides no figure.", show_default="cores"),
    ] = usable_cores()
    scheduler: Annotated[
        str | None,
        typer.Option(help="A Dask scheduler to join, as tcp://host:port; all its workers serve."),
    ] = None
    sampler: Annotated[
        Sampler | None,
        typer.Option(help="Who proposes trials.", show_default="the space file's, tpe"),
    ] = None
    storage: Annotated[
        str | None,
        typer.Option(
            help="Of the studies: postgresql+psycopg://user@host/database, or a journal file.",
            show_default="studies.db in the results",
        ),
    ] = None
    """Stored as a database's URL, or the absolute path of a journal file."""
    epoch_hours: Annotated[
        float,
        Field(gt=0, le=1e6),
        typer.Option(
            min=1e-3, max=1e6, help="A worker in which no epoch ends for so long is taken to hang."
        ),
    ] = 12.0
    trials: Annotated[
        int | None,
        Field(ge=0),
        typer.Option(
            min=0,
            help="Trials in a study; 0: no search, finals of the recipe.",
            show_default="the profile's",
        ),
    ] = None
    added: int = Field(0, ge=0)
    """Trials that `capsbench add` added to a study."""
    seeds: Annotated[
        int | None,
        Field(ge=1),
        typer.Option(
            "--finals", "--seeds", min=1, help="Finals per cell.", show_default="the profile's"
        ),
    ] = None
    device: Annotated[Device, typer.Option(help="Where models are trained.")] = Device.auto
    start: dict[str, list[dict[str, JsonValue]]] = {}
    """Points that studies try after the recipe, by cell, as variant/dataset."""
    log: WandbOptions = PLAIN
    offline: Offline = False

    @field_validator("storage")
    @classmethod
    def _absolute(cls, storage: str | None) -> str | None:
        return storage if storage is None or "://" in storage else str(Path(storage).resolve())

    @model_validator(mode="after")
    def _joined(self) -> Options:
        """A scheduler is one of Dask's."""
        if self.scheduler is not None:
            object.__setattr__(self, "engine", EngineName.dask)
        return self

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
        profile = profiles.load_profile(self.profile)
        return self.model_copy(
            update={
                "added": self.added + trials,
                "seeds": self.finals_asked(profile) + seeds,
                "only": (*self.only, *only) if self.only else (),
            }
        )


def load_options(results: Path) -> Options:
    """The options that a results folder was made with. Raises InputError."""
    path = results / "sweep.json"
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        found = Options.model_validate(content["options"])
        datasets.use_folder(found.data)
        return found
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{results} holds no sweep to go on with: begin one with `capsbench sweep`, or "
            "name its folder with --results"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} does not hold a sweep's options ({' '.join(str(error).split())}): call "
            "`capsbench sweep` with the options wanted, which writes it anew"
        ) from None


def finished(choice: Options, results: Path) -> bool:
    """Says whether the last sweep of a results folder had these options, and left no run to make.

    Records that are gone meanwhile are not missed here.
    """
    try:
        cells = ResultsFolder(results).ledgers()
        return load_options(results) == choice and not any(cell.left for cell in cells)
    except InputError:
        return False


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


def matrix(own: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Lists every cell, (variant, dataset): those whose dataset serves the variant's task.

    The names of the user's own datasets are given, since they are not part of every sweep.
    """
    columns = {name: datasets.find(name) for name in (*datasets.names(), *own)}
    variants = registry.available().values()
    return [(v.name, d) for v in variants for d, data in columns.items() if v.task in data.forms]


def choose(patterns: tuple[str, ...], *, option: str = "--only") -> list[tuple[str, str]]:
    """The cells whose `variant/dataset` matches one of the patterns; all, where there is none.

    Cells of the user's own datasets are chosen only by patterns that end in the dataset's name, so
    that a dataset that is added later changes no sweep.

    Raises InputError, which names the option, for a pattern that matches nothing.
    """
    named = {pattern.rpartition("/")[2] for pattern in patterns}
    own = datasets.own_names()
    cells = {f"{v}/{d}": (v, d) for v, d in matrix(name for name in own if name in named)}
    chosen = set()
    for pattern in patterns:
        found = {
            cell
            for cell, (_, dataset) in cells.items()
            if fnmatchcase(cell, pattern)
            and (dataset not in own or pattern.rpartition("/")[2] == dataset)
        }
        if not found:
            raise InputError(
                f"{option} {pattern!r} matches no cell: write variant/dataset, with * for any, as "
                f"`capsbench list` names them; "
                f"{datasets.hint(pattern, cells)}"
            )
        chosen |= found
    return [pair for cell, pair in cells.items() if not patterns or cell in chosen]


def columns(names: Sequence[str], only: tuple[str, ...]) -> tuple[str, ...]:
    """Limits the patterns of cells to datasets.

    Args:
        names: the names of the datasets; if there are none, the patterns are not limited.
        only: patterns of cells, as `variant/dataset`; if there are none, all cells are meant.

    Returns:
        The patterns of the cells that are on one of the datasets.

    Raises:
        InputError: if a name is unknown, or no pattern matches one of the datasets.
    """
    known = (*datasets.names(), *datasets.own_names())
    for name in names:
        if name not in known:
            raise InputError(f"--datasets {name!r}: {datasets.hint(name, known)}")
    parts = [pattern.rpartition("/") for pattern in only or ("*/*",)]
    limited = tuple(f"{v}/{name}" for v, _, d in parts for name in names if fnmatchcase(name, d))
    if names and not limited:
        raise InputError(
            f"--only {', '.join(only)} has no cell on {', '.join(names)}: leave one of --only and "
            "--datasets out"
        )
    return limited if names else only
