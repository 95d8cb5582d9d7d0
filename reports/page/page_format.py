"""Defines the JSON that the page embeds; `page/scripts` shows it.

Texts are one printable line each. Numbers are finite; a missing number is null.
"""

from __future__ import annotations

from typing import TypedDict

Number = float | None
Value = str | int | float | bool | None


class Entry(TypedDict):
    """Holds what the matrix shows of a cell in one of its views."""

    text: str
    small: str
    """A second line, such as the interval."""
    order: Number
    """Sorts the rows of a dataset, the lowest first."""
    shade: Number
    """From 0 (none) to 1 (full)."""


class Run(TypedDict):
    """Holds a run as a drawer lists it."""

    id: str
    role: str
    seed: str
    """A text, since browsers round whole numbers of more than 53 bits."""
    text: str
    links: list[tuple[str, str]]
    """Names and addresses of its files."""
    command: str
    """Repeats the run."""


class Curve(TypedDict):
    """Holds a metric of one final by epoch, thinned."""

    metric: str
    """With its split, such as `train/loss`."""
    seed: str
    points: list[tuple[int, float]]


class Trials(TypedDict):
    """Holds the trials of a study; `parameters` names the values that follow in each row."""

    parameters: list[str]
    rows: list[list[Value]]
    """Number, state, value on validation data, epochs; then the searched hyper-parameters."""


class Picture(TypedDict):
    kind: str
    href: str
    src: str
    width: int
    height: int


class CellData(TypedDict):
    """Holds a variant on a dataset: its places in the matrix, and its drawer."""

    study: str
    variant: str
    dataset: str
    task: str
    profile: str
    metric: str
    factor: int
    """What scores are multiplied by before they are shown: 100 for rates."""
    mark: str
    mark_text: str
    """The mark in words; it names the floor that a cell is not above."""
    note: str
    """What is missing, or that the data is a stand-in."""
    views: dict[str, Entry]
    seeds: list[tuple[str, float]]
    """Seed and test score of each final."""
    mean: Number
    interval: tuple[float, float] | None
    seconds: Number
    facts: list[tuple[str, str]]
    """Names and sentences on the score, in the order of reading."""
    metrics: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    runs: list[Run]
    curves: list[Curve]
    trials: Trials
    pictures: list[Picture]


class Column(TypedDict):
    """Holds the head of a dataset in a board, and its rows that are no variant's."""

    dataset: str
    heads: dict[str, str]
    """For each view what its numbers are, with an arrow in the better direction."""
    tested: str
    """Size of the test set, state of the data, and what mixes in the column."""
    floor: Entry
    published: Entry


class Row(TypedDict):
    variant: str
    place: Number
    """Mean place over the datasets on which it has a score; 1 is best."""
    skill: str
    skill_interval: str
    cells: dict[str, str]
    """By dataset the study of the cell."""


class Board(TypedDict):
    """Holds the part of the matrix of one task and profile; rows are in the order of places."""

    task: str
    profile: str
    columns: list[Column]
    rows: list[Row]


class TableData(TypedDict):
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Value]]
    links: dict[str, list[str]]
    """By column an address per row; empty where there is none."""


class PageData(TypedDict):
    folder: str
    """Name of the results folder, which commands need."""
    boards: list[Board]
    cells: dict[str, CellData]
    """By study."""
    tables: dict[str, TableData]
