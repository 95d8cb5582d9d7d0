"""What there is of a run: its folder, its record, and whether its files are whole."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from pydantic import ValidationError

from benchmarks.errors import InputError
from benchmarks.spec import RunRecord, fingerprint

RUN_ID = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
"""Names a folder within `runs/`, never one elsewhere."""

DECIDED = (
    "spec",
    "status",
    "reason",
    "epochs",
    "metric",
    "directions",
    "absent",
    "metrics",
    "floors",
    "samples",
    "history",
    "weights_sha256",
)
"""What of a record is in its digest, with the lines of `metrics.jsonl`; `step` where it failed."""


def folder(results: Path, run_id: str) -> Path:
    """Where a run's files lie."""
    return results / "runs" / run_id


def require_run_id(text: str) -> str:
    """Returns a run id as it is. Raises ValueError if it cannot be one."""
    if not RUN_ID.fullmatch(text):
        raise ValueError("not a run id")
    return text


def read_record(results: Path, run_id: str) -> RunRecord | None:
    """Reads the record of a run; None if none has ended by this name, or the name is no run id.

    Raises InputError if the record cannot be read.
    """
    if not RUN_ID.fullmatch(run_id):
        return None
    path = folder(results, run_id) / "record.json"
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(
            f"{path} is not a record of this version ({error.errors()[0]['msg']}): "
            "remove that run's folder to make it again"
        ) from None


def kept_record(results: Path, run_id: str) -> RunRecord | None:
    """The same, where the run's files are whole; see `intact`."""
    return read_record(results, run_id) if intact(results, run_id) else None


def intact(results: Path, run_id: str) -> bool:
    """Whether a run has ended, and its `metrics.jsonl` is what its record's digest was made of.

    A record that tells of other metrics is set aside, and said: its run is to be made again.
    """
    home = folder(results, run_id)
    path = home / "record.json"
    try:
        record = json.loads(path.read_bytes())
        decided = {name: record[name] for name in DECIDED}
        if record["step"] is not None:
            decided["step"] = record["step"]
        digest = record["digest"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError, RecursionError):
        return True  # read_record says what is wrong with it
    try:
        lines = (home / "metrics.jsonl").read_bytes().splitlines()
        if fingerprint([decided, [json.loads(line) for line in lines]]) == digest:
            return True
    except FileNotFoundError:
        if fingerprint([decided, []]) == digest:
            return True
    except (ValueError, RecursionError):
        pass
    path.replace(home / "record.unused")
    print(
        f"capsbench: {home / 'metrics.jsonl'} is damaged: the run is made again, and its record is "
        "kept as record.unused",
        file=sys.stderr,
    )
    return False


def finished_epochs(results: Path, run_id: str) -> tuple[int, dict[str, float]]:
    """Epochs that a run under way has behind it, and the last one's metrics."""
    try:
        lines = (folder(results, run_id) / "metrics.jsonl").read_text().splitlines()
        last = json.loads(lines[-1])
        return last["epoch"], last["metrics"]
    except (OSError, IndexError, ValueError, KeyError):
        return 0, {}
