"""What every engine keeps: results, errors, dead and hanging workers, and an end at once."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks import protocol
from benchmarks.errors import InputError
from benchmarks.profiles import Name, load
from benchmarks.protocol import DataSource
from benchmarks.run import read_record
from benchmarks.spec import RunSpec
from models import registry
from sweeps import engines, space
from sweeps.engines import Engine, Inline, Job, Site
from sweeps.options import EngineName
from sweeps.watchdog import Watchdog

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "BENCH_DATA": ""}
PATIENCE = 400

pytestmark = [
    # Dask leaves sockets to the garbage collector when a cluster or a connection ends.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestWarning"),
    pytest.mark.usefixtures("collected"),
]
WITH_WORKERS = [EngineName.processes, EngineName.dask]


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Garbage of this module is collected within it."""
    yield
    gc.collect()


@pytest.fixture(scope="module", params=list(EngineName))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engines.start(request.param, 1) as engine:
        yield engine


@pytest.fixture
def spread(engine: Engine) -> Engine:
    """An engine with workers of its own."""
    if isinstance(engine, Inline):
        pytest.skip("it runs in the driver, and ends with it")
    return engine


def spec(root: Path, seed: int = 0, variant: str = "linear", dataset: str = "usps") -> RunSpec:
    profile = load(Name.smoke)
    budget = profile.budgets["classification"]
    source = DataSource(root)
    chosen = space.load(variant, registry.variant(variant), Name.smoke)
    return RunSpec(
        variant=variant,
        dataset=dataset,
        role="trial",
        hyperparameters=chosen.resolve({}),
        seed=seed,
        budget=budget,
        data_sha256=protocol.describe(
            "classification", dataset, budget=budget, source=source
        ).sha256,
    )


def job(root: Path, seed: int = 0) -> Job:
    return Job(spec(root, seed), "study")


def site(root: Path, results: Path) -> Site:
    return Site(DataSource(root), results)


def sum_of(first: int, second: int) -> int:
    return first + second


def refuse() -> None:
    raise InputError("no")


def die() -> None:
    os._exit(1)


def hang(seconds: float) -> None:
    with Watchdog(seconds):
        time.sleep(PATIENCE)


def linger(place: Path) -> None:
    """Says who is at work, for as long as that is."""
    place.write_text(str(os.getpid()))
    time.sleep(PATIENCE)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(holds: Callable[[], Any]) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_results_and_errors_come_back(engine: Engine) -> None:
    assert engine.workers == 1
    assert engine.submit(sum_of, 1, second=2).result(PATIENCE) == 3
    with pytest.raises(InputError, match="no"):
        engine.submit(refuse).result(PATIENCE)


def test_a_run_is_the_same_on_every_engine(engine: Engine, tmp_path: Path) -> None:
    record = engine.begin(job(tmp_path), site(tmp_path, tmp_path)).result(PATIENCE)
    alone = engines.execute(job(tmp_path), site(tmp_path, tmp_path / "alone"))
    assert record.digest == alone.digest
    assert read_record(tmp_path, record.run_id) == record


def test_a_worker_that_dies_takes_its_own_run_with_it(spread: Engine) -> None:
    with pytest.raises(BrokenExecutor):
        spread.submit(die).result(PATIENCE)
    assert spread.submit(sum_of, 1, 2).result(PATIENCE) == 3
    until(lambda: spread.workers == 1)


def test_a_worker_that_hangs_is_a_worker_that_died(spread: Engine) -> None:
    with pytest.raises(BrokenExecutor):
        spread.submit(hang, 0.5).result(PATIENCE)
    assert spread.submit(sum_of, 1, 2).result(PATIENCE) == 3


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_an_end_with_cancelling_ends_what_runs(name: EngineName, tmp_path: Path) -> None:
    engine = engines.start(name, 1)
    engine.submit(linger, tmp_path / "worker")
    until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
    engine.shutdown(cancel_futures=True)
    until(lambda: not alive(int((tmp_path / "worker").read_text())))
