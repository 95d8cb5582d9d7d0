"""Tests that each `capsbench …` command in a message, a docstring or a document can be called."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

import capsbench
from benchmarks import __main__ as runs
from models import registry
from reports import __main__ as reports
from sweeps import __main__ as sweeps

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("benchmarks", "models", "reports", "sweeps")
FRONT_DOOR = typer.main.get_command(capsbench.app)
PLACEHOLDER = "PLACEHOLDER"
"""Replaces what a message fills in."""

QUOTED = re.compile(r"`((?:\.venv/bin/)?capsbench\s[^`]+)`")
LINE = re.compile(r"^(?:\$ |!)?((?:\.venv/bin/)?capsbench .+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(?:sh|bash|text|console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

OPEN = ("…", "...", "COMMAND")
"""Stand for what the user puts there."""

PARTS = (runs.app, sweeps.app, reports.app)
"""The command lines `python -m benchmarks`, `sweeps` and `reports`."""

OF_OTHER_PROGRAMS = {"--nthreads", "--memory-limit", "--resources", "--slurm"}
"""Options of `dask worker`; the begin of the options `--slurm-…`."""


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


def texts_of_module(path: Path) -> Iterator[str]:
    """Yields the strings of a module, with a placeholder for each inserted value."""
    inner: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER
                for part in node.values
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield node.value


def texts_of_notebook(path: Path) -> Iterator[str]:
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        yield f"```\n{text}\n```" if cell["cell_type"] == "code" else text


def commands_of_document(text: str) -> Iterator[str]:
    for block in BLOCK.findall(text):
        yield from LINE.findall(block.replace("\\\n", " "))
    yield from QUOTED.findall(BLOCK.sub("", text))


@cache
def commands() -> list[tuple[str, str]]:
    """Lists each named command with the file that names it."""
    return [*_commands()]


def _commands() -> Iterator[tuple[str, str]]:
    for path in tracked("capsbench.py", *(f"{package}/*.py" for package in PACKAGES)):
        for text in texts_of_module(path):
            yield from ((str(path.relative_to(ROOT)), found) for found in QUOTED.findall(text))
    for path in tracked("*.md", "*.yaml", "*.sh"):
        for found in commands_of_document(path.read_text()):
            yield str(path.relative_to(ROOT)), found
    for path in tracked("*.ipynb"):
        for text in texts_of_notebook(path):
            yield from (
                (str(path.relative_to(ROOT)), found) for found in commands_of_document(text)
            )


def words_of(command: str) -> list[str]:
    """Splits a command as a shell does; text after the command is left out."""
    words = shlex.split(command, comments=True)
    ends = [place for place, word in enumerate(words) if word in ("&&", "|", ";", ">")]
    return words[1 : ends[0] if ends else None]


def fault_of(command: str) -> str | None:
    """Returns why a command cannot be called; None if it can, or if it leaves arguments open."""
    words, found = [word for word in words_of(command) if word not in OPEN], FRONT_DOOR
    while words and words[0] in (commands := getattr(found, "commands", {})):
        found = commands[words.pop(0)]
    if found is FRONT_DOOR and words and not words[0].startswith("-"):
        return f"there is no command {words[0]!r}"
    options = {name: p for p in found.params for name in p.opts}
    words = [word for word in words if word != "--help"]  # every command has it
    given: list[str] = []
    while words:
        name, equals, _ = words.pop(0).partition("=")
        if not name.startswith("-"):
            given.append(name)
        elif name not in options:
            return f"there is no option {name}"
        elif words and not (getattr(options[name], "is_flag", False) or equals):
            words.pop(0)
    takes = [p.nargs for p in found.params if p.param_type_name == "argument"]
    if -1 not in takes and len(given) > sum(takes):
        return f"there is no place for {given[-1]!r}"
    if found.name in ("run", "options") and given and not known_variant(given[0]):
        return f"there is no variant {given[0]!r}"
    return None


def known_variant(text: str) -> bool:
    return text in registry.available() or text.isupper() or text.endswith(".py")


@pytest.mark.parametrize(("place", "command"), sorted(set(commands())))
def test_a_command_that_is_named_can_be_called(place: str, command: str) -> None:
    fault = fault_of(command)
    assert fault is None, f"{place} names `{command}`: {fault}"


def test_commands_are_found_where_people_read() -> None:
    places = {place for place, _ in commands()}
    assert {"README.md", "docs/sweeps.md", "docs/tutorial.ipynb", "sweeps/__main__.py"} <= places


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("capsbench evalute RUN_ID", "command 'evalute'"),
        ("capsbench add --trails 20", "option --trails"),
        ("capsbench data add pets DIR --verbose", "option --verbose"),
        ("capsbench options cnn mnist", "place for 'mnist'"),
        ("capsbench run cnnn mnist --seed 1", "variant 'cnnn'"),
    ],
)
def test_a_command_that_cannot_be_called_is_found(command: str, fault: str) -> None:
    assert fault in str(fault_of(command))


def every_option() -> set[str]:
    found, commands_left = set(), [FRONT_DOOR, *(typer.main.get_command(a) for a in PARTS)]
    while commands_left:
        command = commands_left.pop()
        commands_left += getattr(command, "commands", {}).values()
        found |= {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    return found | {"--help"}


def test_options_in_messages_exist() -> None:
    known = every_option() | OF_OTHER_PROGRAMS
    unknown = {
        (str(path.relative_to(ROOT)), option)
        for path in tracked(*(f"{package}/*.py" for package in PACKAGES))
        for text in texts_of_module(path)
        if " " in text  # a sentence, and not an argument of another program
        for option in OPTION.findall(text)
        if option not in known
    }
    assert not unknown
