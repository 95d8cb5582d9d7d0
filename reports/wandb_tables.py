"""Logs tables of a report into an offline run of Weights & Biases, which `wandb sync` sends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchmarks.records.errors import InputError

SHOWN = ("leaderboard", "scores")
MOST_ROWS = 200_000
"""Weights & Biases shows no more rows of a table."""


def log_tables(tables: Mapping[str, pd.DataFrame], root: Path) -> Path:
    """Logs the leaderboard and the scores as tables of one offline run.

    The project and team are those of $WANDB_PROJECT (default: capsbench) and $WANDB_ENTITY.

    Args:
        tables: the tables of `SHOWN`, by name.
        root: the results folder, which gets the run in `wandb/`.

    Returns:
        The folder of the run, for `wandb sync`.

    Raises:
        InputError: if Weights & Biases cannot write the run.
    """
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    import wandb

    try:
        run = wandb.init(
            mode="offline",
            dir=root,
            project=os.environ.get("WANDB_PROJECT") or "capsbench",
            entity=os.environ.get("WANDB_ENTITY"),
            name=f"report of {root.resolve().name}",
            job_type="report",
            reinit="create_new",
            settings=wandb.Settings(
                console="off", silent=True, disable_git=True, disable_code=True, x_disable_meta=True
            ),
        )
        for name in SHOWN:
            rows = tables[name].head(MOST_ROWS).astype(object)
            # A column of W&B's tables has one type, and None where there is no value.
            run.log({name: wandb.Table(dataframe=rows.where(rows.notna(), None))})
        folder = Path(run.dir).parent
        run.finish()
    except wandb.Error as error:
        raise InputError(f"Weights & Biases cannot log the tables ({error})") from None
    return folder
