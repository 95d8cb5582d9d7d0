"""Reads what Weights & Biases shows of a run, by the command of Weights & Biases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def agrees(home: Path) -> bool:
    """Returns whether the only W&B folder of a run agrees with the run's record."""
    record = json.loads((home / "record.json").read_bytes())
    shown = _inspect(home)
    expected = {"status": record["status"], **record["metrics"]}
    expected |= {f"cost/{name}": cost for name, cost in record["costs"].items() if cost is not None}
    if record["reason"] is not None:
        expected["reason"] = record["reason"]
    return (
        shown["run_id"].startswith(record["run_id"])
        and shown["config"] == record["spec"]
        and shown["exit_code"] == int(record["status"] == "failed")
        and shown["summary"].items() >= expected.items()
    )


def _inspect(home: Path) -> dict[str, Any]:
    (mirror,) = (home / "wandb").glob("offline-run-*")
    wandb = Path(sys.executable).with_name("wandb")
    done = subprocess.run(
        [wandb, "leet", "inspect", "--summary", "--json", mirror],
        capture_output=True,
        check=True,
        env={**os.environ, "WANDB_ERROR_REPORTING": "false"},
        timeout=120,
    )
    return json.loads(done.stdout)
