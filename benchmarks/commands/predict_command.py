"""Implements `capsbench predict`: applies a trained model to a user's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.commands.cli import plain_console
from benchmarks.records.errors import InputError
from benchmarks.runs.answers import Answers, answer, write_answers
from benchmarks.runs.input_files import read_inputs
from benchmarks.runs.trained import TrainedModel, load_model

SHOWN_ROWS = 20
SHOWN_CLASSES = 3
SHOWN_FILES = 6
PLACES = ("second", "third")


def predict_files(run: str, files: Sequence[Path], *, out: Path | None, results: Path) -> None:
    """Prints what a trained model answers to files, and writes the answers into a folder.

    Args:
        run: the id of a run, or the path of a weights file.
        files: images, `.npy` files or clips.
        out: the folder of tables, arrays and pictures; None: nothing is written.
        results: the results folder that holds the run.

    Raises:
        InputError: if the run has no model, or a file does not fit it.
        OSError: if a file cannot be written.
    """
    trained = load_model(run, results=results)
    inputs = read_inputs(files, trained)
    if not inputs.samples:
        raise InputError("the files have no samples: name files with at least one sample")
    console = plain_console()
    for note in inputs.notes:
        console.print(note, soft_wrap=True, highlight=False)
    answers = answer(trained, inputs.samples)
    _print(console, trained, answers)
    if out is None:
        console.print(
            "--out DIR writes all numbers, and pictures of what the model makes of the files",
            soft_wrap=True,
        )
        return
    written = write_answers(answers, trained, inputs.samples, out)
    names = ", ".join(path.name for path in written[:SHOWN_FILES])
    more = f" and {len(written) - SHOWN_FILES} more" if len(written) > SHOWN_FILES else ""
    console.print(f"wrote {names}{more} into {out}", soft_wrap=True, highlight=False)


def _print(console: Console, trained: TrainedModel, answers: Answers) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    if trained.task == "classification":
        _add_classes(table, trained, answers)
    else:
        for name in answers.columns:
            table.add_column(name, justify="left" if name == "sample" else "right")
        for name, *numbers in answers.rows[:SHOWN_ROWS]:
            table.add_row(name, *(f"{number:.6g}" for number in numbers))
    console.print(table)
    if len(answers.rows) > SHOWN_ROWS:
        console.print(f"… and {len(answers.rows) - SHOWN_ROWS} more")


def _add_classes(table: Table, trained: TrainedModel, answers: Answers) -> None:
    """Adds the classes with the highest scores; a score is what the model computes."""
    scores = answers.arrays["scores"]
    table.add_column("sample")
    count = min(SHOWN_CLASSES, scores.shape[1])
    for place in range(count):
        table.add_column("class" if place == 0 else PLACES[place - 1], justify="right")
        table.add_column("score", justify="right")
    for (name, *_), found in zip(answers.rows[:SHOWN_ROWS], scores, strict=False):
        best = (-found).argsort(kind="stable")[:count]
        cells = [text for i in best for text in (trained.class_name(i), f"{found[i]:.4g}")]
        table.add_row(name, *cells)
