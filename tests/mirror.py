"""Reads what Weights & Biases shows of a run, by the program of Weights & Biases."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from wandb.util import get_core_path


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
    """Calls the program that `wandb leet inspect` calls, which needs no second to start."""
    (mirror,) = (home / "wandb").glob("offline-run-*/run-*.wandb")
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--summary", "--json"]
    done = subprocess.run(
        [*command, "--run-file", mirror, mirror.parents[1]],
        capture_output=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)
