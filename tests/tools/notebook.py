"""Executes the tutorial; `python -m tests.tools.notebook` stores its outputs in the notebook."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs/tutorial.ipynb"
SECONDS_PER_CELL = 300


def executed(path: Path, folder: Path) -> NotebookNode:
    """Executes a notebook from top to bottom, in a kernel of its own, on one thread.

    Args:
        path: the notebook, which is not changed.
        folder: an empty folder for what the notebook and its kernel write.

    Returns:
        The notebook with its new outputs, without the names of temporary folders.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env=_environment(folder))
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:
                output["text"] = re.sub(r"(/\S+)?/tmp\w{8}/", "", output["text"])
    return notebook


def _environment(folder: Path) -> dict[str, str]:
    """Returns the environment variables with which a kernel finds this checkout and `capsbench`."""
    commands = folder / "bin"
    commands.mkdir()
    script = commands / "capsbench"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m capsbench "$@"\n')
    script.chmod(0o755)
    own = {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
    }
    unset = ("BENCH_DATA", "WANDB_MODE", "WANDB_DISABLED")
    return {k: v for k, v in os.environ.items() if k not in unset} | own


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        nbformat.write(executed(TUTORIAL, Path(scratch)), TUTORIAL)
