"""Synthetic results folders: the files that a sweep leaves, without a sweep.

files = sweep(variants=("capsnet", "linear"), datasets=("mnist",))
files.run("capsnet-mnist-quick", "final", 0)["status"] = "failed"
files.write(tmp_path)
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SAMPLES = "60000 train, 10000 test"
PRIMARY = {"classification": ("accuracy", "maximize"), "prediction": ("mse", "minimize")}
FLOORS = {
    "classification": {"largest class": 0.125},
    "prediction": {"last frame": 400.0, "mean image": 450.0},
}
"""By task the trivial answers with their primary metric: all finals of `sweep` are above them."""
UNTRAINED = {"classification": 0.1, "prediction": 500.0}


def fingerprint(dataset: str) -> str:
    return hashlib.sha256(dataset.encode()).hexdigest()


@dataclass
class Files:
    """Cells and records by name, and the curves of runs, as mutable JSON documents."""

    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def run(self, study: str, role: str, number: int) -> dict[str, Any]:
        return self.records[self.cells[study][f"{role}s"][number]]

    def write(self, root: Path, *, shuffle: int = 0) -> Path:
        """Writes all files in an order drawn from `shuffle`."""
        texts = {f"cells/{name}.json": json.dumps(cell) for name, cell in self.cells.items()}
        for run_id, record in self.records.items():
            texts[f"runs/{run_id}/record.json"] = json.dumps(record)
            lines = [json.dumps(line) + "\n" for line in self.curves[run_id]]
            texts[f"runs/{run_id}/metrics.jsonl"] = "".join(lines)
        names = sorted(texts)
        random.Random(shuffle).shuffle(names)
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(texts[name], encoding="utf-8")
        return root


def sweep(
    *,
    variants: Sequence[str] = ("capsnet", "linear"),
    datasets: Sequence[str] = ("mnist", "usps"),
    task: str = "classification",
    profile: str = "quick",
    trials: int = 4,
    finals: int = 3,
    epochs: int = 3,
    clock: float = 1.0,
) -> Files:
    """A finished sweep; all but its costs is a function of the names, `clock` scales those."""
    files = Files()
    for variant in variants:
        for dataset in datasets:
            _add_cell(files, variant, dataset, task, profile, trials, finals, epochs, clock)
    return files


def _add_cell(
    files: Files,
    variant: str,
    dataset: str,
    task: str,
    profile: str,
    trials: int,
    finals: int,
    epochs: int,
    clock: float,
) -> None:
    study = f"{variant}-{dataset}-{profile}"
    metric, direction = PRIMARY[task]
    cell: dict[str, Any] = {
        "study": study,
        "variant": variant,
        "dataset": dataset,
        "task": task,
        "profile": profile,
        "metric": metric,
        "directions": {metric: direction, "loss": "minimize"},
        "data": "official",
        "planned": {"trials": trials, "finals": finals},
        "trials": [],
        "best": None,
        "bases": [],
        "finals": [],
        "reason": None,
    }
    files.cells[study] = cell
    for role, count in (("trial", trials), ("final", finals)):
        for number in range(count):
            draw = random.Random(f"{study} {role} {number}")
            run_id = hashlib.sha256(f"{study} {role} {number}".encode()).hexdigest()[:16]
            curve = _curve(draw, epochs, task, metric, capable=len(variant) % 5)
            files.curves[run_id] = curve
            record = _record(cell, run_id, role, number, curve, epochs, clock)
            files.records[run_id] = record
            cell[f"{role}s"].append(run_id)
    cell["best"] = cell["trials"][0] if trials else None


def _curve(
    draw: random.Random, epochs: int, task: str, metric: str, *, capable: int
) -> list[dict[str, Any]]:
    lines = []
    quality = draw.uniform(0.6, 0.8) + 0.03 * capable
    for epoch in range(1, epochs + 1):
        quality += (1 - quality) * draw.uniform(0.1, 0.4)
        value = quality if task == "classification" else 400 * (1 - quality)
        metrics = {"train/loss": 1 - quality, f"validation/{metric}": value}
        lines.append({"epoch": epoch, "step": 32 * epoch, "metrics": metrics})
    return lines


def _record(
    cell: dict[str, Any],
    run_id: str,
    role: str,
    number: int,
    curve: list[dict[str, Any]],
    epochs: int,
    clock: float,
) -> dict[str, Any]:
    metric = cell["metric"]
    last = curve[-1]["metrics"][f"validation/{metric}"] if curve else 0.5
    metrics = {f"validation/{metric}": last}
    floors = {}
    if role == "final":
        floors = {name: {metric: value} for name, value in FLOORS[cell["task"]].items()}
        floors["untrained"] = {metric: UNTRAINED[cell["task"]] * (1 + number / 100), "loss": 2.5}
        metrics |= {f"test/{metric}": last * 0.99, "test/loss": 0.25, "test/oddity": 7.0}
    return {
        "run_id": run_id,
        "study": cell["study"],
        "spec": {
            "variant": cell["variant"],
            "dataset": cell["dataset"],
            "task": cell["task"],
            "role": role,
            "hyperparameters": {"learning_rate": 1e-3 / (number + 1), "routing": 3, "bias": True},
            "seed": 2**64 - 1 - number,
            "budget": {"profile": cell["profile"], "epochs": epochs},
            "precision": "32-true",
            "threads": 1,
            "device": "cpu",
            "data_sha256": fingerprint(cell["dataset"]),
        },
        "status": "complete",
        "reason": None,
        "traceback": None,
        "epochs": epochs,
        "metric": metric,
        "directions": cell["directions"],
        "metrics": metrics,
        "absent": {},
        "floors": floors,
        "samples": {
            "train": 5000,
            "validation": 1000,
            "test": 2000,
            "test_of": 10_000,
            "test_selection": "stratified",
        },
        "digest": hashlib.sha256(run_id.encode()).hexdigest(),
        "costs": {
            "parameters": 8_215_568,
            "flops_per_sample": 123_456_789,
            "seconds": 2.5 * clock * (number + 1),
            "train_seconds": 2.0 * clock,
            "samples_per_second": 1000.0 / clock,
            "peak_memory_bytes": int(1e8 * clock),
        },
        "provenance": {
            "data": {
                "dataset": cell["dataset"],
                "state": "official",
                "samples": SAMPLES,
                "sha256": fingerprint(cell["dataset"]),
            },
            "code_version": "0123456789ab",
            "versions": {"torch": "2.13.0"},
        },
    }
