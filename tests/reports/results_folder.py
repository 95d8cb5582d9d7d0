"""Makes synthetic results folders: the files that a sweep writes, without a sweep.

files = sweep(variants=("capsnet", "linear"), datasets=("mnist",))
files.run("capsnet-mnist-quick", "final", 0)["status"] = "failed"
files.write(tmp_path)
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from benchmarks.records.folders import ResultsFolder, RunFolder
from benchmarks.records.ledger import CellLedger, Planned, PrunedEpochs, States
from benchmarks.records.record import DataInfo, Provenance, RunRecord, SampleCounts
from benchmarks.records.spec import Budget, RunSpec
from reports.results import Results
from reports.tables import leaderboard

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
    """Holds ledgers and records by name, and the curves of runs, as mutable JSON documents.

    They are valid until a test changes them. `write` gives a run whose spec was changed its new run
    id, and each record its digest; other damage remains.
    """

    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def run(self, study: str, role: str, number: int) -> dict[str, Any]:
        return self.records[self.cells[study][f"{role}s"][number]]

    def add(self, others: Files) -> None:
        self.cells |= others.cells
        self.records |= others.records
        self.curves |= others.curves

    def write(self, root: Path, *, shuffle: int = 0) -> Path:
        """Writes all files in an order drawn from `shuffle`."""
        self._rename_changed_runs()
        folder = ResultsFolder(root)
        texts = {folder.ledger(name): json.dumps(cell) for name, cell in self.cells.items()}
        for run_id, record in self.records.items():
            run = RunFolder(root, run_id)
            texts[run.record] = json.dumps(_digested(record, self.curves[run_id]))
            texts[run.metrics] = "".join(json.dumps(line) + "\n" for line in self.curves[run_id])
        paths = sorted(texts)
        random.Random(shuffle).shuffle(paths)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
        return root

    def _rename_changed_runs(self) -> None:
        names = {run_id: _run_id(record, run_id) for run_id, record in self.records.items()}
        for run_id, record in self.records.items():
            if record.get("run_id") == run_id:
                record["run_id"] = names[run_id]
        self.records = {names[run_id]: record for run_id, record in self.records.items()}
        self.curves = {names.get(run_id, run_id): curve for run_id, curve in self.curves.items()}
        for cell in self.cells.values():
            for role in ("trials", "finals", "bases"):
                if isinstance(cell.get(role), list):
                    cell[role] = [names.get(run_id, run_id) for run_id in cell[role]]
            cell["best"] = names.get(cell["best"], cell["best"])


def _run_id(record: dict[str, Any], otherwise: str) -> str:
    try:
        return RunSpec.model_validate(record.get("spec")).run_id
    except ValidationError:
        return otherwise


def _digested(record: dict[str, Any], curve: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        return record | {"digest": RunRecord.digest_of(record, curve)}
    except KeyError:
        return record


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
    """Makes a finished sweep. All numbers follow from names, except costs, which `clock` scales."""
    files = Files()
    for variant in variants:
        for dataset in datasets:
            _add_cell(files, variant, dataset, task, profile, trials, finals, epochs, clock)
    return files


def ledger(variant: str, dataset: str, profile: str, **fields: Any) -> dict[str, Any]:
    """Makes the ledger of a cell without runs as a JSON document; `fields` replace values."""
    nothing: dict[str, Any] = {
        "study": f"{variant}-{dataset}-{profile}",
        "task": "classification",
        "metric": "accuracy",
        "directions": {"accuracy": "maximize"},
        "data": "official",
        "planned": Planned(),
        "states": States(),
        "epochs": PrunedEpochs(),
        "trials": [],
        "finals": [],
        "bases": [],
        "best": None,
        "cost": None,
        "importance": {},
        "reason": None,
        "left": 0,
        "retries": 0,
    }
    names = {"variant": variant, "dataset": dataset, "profile": profile}
    return CellLedger.model_validate(nothing | names | fields).model_dump(mode="json")


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
    ids: dict[str, list[str]] = {"trial": [], "final": []}
    for role, count in (("trial", trials), ("final", finals)):
        for number in range(count):
            draw = random.Random(f"{study} {role} {number}")
            curve = _curve(draw, epochs, task, metric, capable=len(variant) % 5)
            spec = _spec(variant, dataset, profile, role, number, epochs)
            record = _record(spec, study, task, number, curve, clock)
            files.curves[spec.run_id] = curve
            files.records[spec.run_id] = record.model_dump(mode="json")
            ids[role].append(spec.run_id)
    files.cells[study] = ledger(
        variant,
        dataset,
        profile,
        task=task,
        metric=metric,
        directions={metric: direction, "loss": "minimize"},
        planned=Planned(trials=trials, finals=finals),
        states=States(complete=trials),
        trials=ids["trial"],
        finals=ids["final"],
        best=next(iter(ids["trial"]), None),
    )


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


def _spec(variant: str, dataset: str, profile: str, role: str, number: int, epochs: int) -> RunSpec:
    """Specifies a run; a name that is not allowed in a run id is written into the ledger only."""
    plain = (re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:40] for name in (variant, dataset))
    names = dict(zip(("variant", "dataset"), plain, strict=True))
    return RunSpec(
        **names,
        role=role,
        hyperparameters={"learning_rate": 1e-3 / (number + 1), "routing": 3, "bias": True},
        seed=2**64 - 1 - number,
        budget=Budget(profile=profile, epochs=max(1, epochs), validation_samples=1000),
        data_sha256=fingerprint(dataset),
    )


def _record(
    spec: RunSpec,
    study: str,
    task: str,
    number: int,
    curve: list[dict[str, Any]],
    clock: float,
) -> RunRecord:
    metric, direction = PRIMARY[task]
    history = [line["metrics"][f"validation/{metric}"] for line in curve]
    last = history[-1] if history else 0.5
    metrics = {f"validation/{metric}": last}
    floors = {}
    if spec.role == "final":
        floors = {name: {metric: value} for name, value in FLOORS[task].items()}
        floors["untrained"] = {metric: UNTRAINED[task] * (1 + number / 100), "loss": 2.5}
        metrics |= {f"test/{metric}": last * 0.99, "test/loss": 0.25, "test/oddity": 7.0}
    data = DataInfo(
        dataset=spec.dataset,
        state="official",
        samples=SAMPLES,
        sha256=spec.data_sha256,
        path="data",
    )
    return RunRecord(
        run_id=spec.run_id,
        study=study,
        spec=spec,
        status="complete",
        epochs=len(curve),
        metric=metric,
        directions={metric: direction, "loss": "minimize"},
        metrics=metrics,
        floors=floors,
        samples=SampleCounts(
            train=5000, validation=1000, test=2000, test_of=10_000, test_selection="stratified"
        ),
        history=history,
        weights_sha256="cd" * 32,
        digest="",  # see `Files.write`
        costs={
            "parameters": 8_215_568,
            "flops_per_sample": 123_456_789,
            "seconds": 2.5 * clock * (number + 1),
            "train_seconds": 2.0 * clock,
            "samples_per_second": 1000.0 / clock,
            "peak_memory_bytes": int(1e8 * clock),
        },
        provenance=Provenance(
            code_version="0123456789ab",
            versions={"torch": "2.13.0"},
            platform="Linux",
            cpu="a processor",
            cpu_capability="AVX2",
            data=data,
        ),
    )


def put(files: Files, study: str, values: Sequence[float]) -> None:
    """Sets the test accuracies of a cell's finals."""
    for number, value in enumerate(values):
        files.run(study, "final", number)["metrics"]["test/accuracy"] = value


def variants(results: Results) -> pd.DataFrame:
    """Returns the leaderboard without its floors."""
    table = leaderboard(results)
    return table[table["kind"] == "variant"]
