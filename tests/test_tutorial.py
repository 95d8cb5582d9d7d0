"""Tests that the tutorial runs from top to bottom, and that its stored outputs are those of a
run.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.tools.notebook import TUTORIAL, executed


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: NotebookNode) -> list[str]:
    """Lists the outputs of a cell: streams by name, results and figures by their formats."""
    return sorted(o.get("name") or " ".join(sorted(o.data)) for o in cell.outputs)


@pytest.mark.slow
def test_the_tutorial_runs_and_shows_what_is_stored(tmp_path: Path) -> None:
    """A failing cell or command fails the test. Numbers may differ: processors round
    differently.
    """
    stored, new = nbformat.read(TUTORIAL, as_version=4), executed(TUTORIAL, tmp_path)
    for known, cell in zip(code_cells(stored), code_cells(new), strict=True):
        assert kinds(cell) == kinds(known), cell.source


def test_the_stored_outputs_are_of_the_whole_tutorial() -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    text = TUTORIAL.read_text()
    assert '"output_type": "error"' not in text
    assert "/tmp" not in text
