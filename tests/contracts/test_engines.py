"""Tests every engine: results, errors, dead and hanging workers, and a quick end."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path
from typing import Any

import pytest

from benchmarks import interrupts
from benchmarks.datasets.dataset import DataSource
from benchmarks.records.errors import InputError
from benchmarks.records.folders import RunFolder
from benchmarks.records.record import RunRecord
from benchmarks.records.spec import RunSpec
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import specify
from reports.results import read_results
from reports.table_files import write_tables
from reports.tables import build_tables
from sweeps import engines
from sweeps.engines import Engine, Inline, Job, WorkerContext, remote
from sweeps.engines import dask as dask_engine
from sweeps.options import EngineName, Options
from sweeps.studies.study_configuration import Sampler
from sweeps.sweep import sweep
from sweeps.watchdog import Watchdog
from tests.process_helpers import alive

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "BENCH_DATA": ""}
PATIENCE = 400

pytestmark = [
    # Dask leaves sockets to the garbage collector when a cluster or a connection ends.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestWarning"),
    pytest.mark.usefixtures("collected"),
]
PRETEND = """
import os
import torch
gpu = os.environ["PRETENDED_GPU"]
torch.cuda.is_available = lambda: bool(gpu)
torch.cuda.get_device_name = lambda: gpu
"""
"""Code that a worker runs first: it then sees a pretended GPU, or none, on any machine."""

WITH_WORKERS = [EngineName.processes, EngineName.dask]


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Collects the garbage of this module before the next module starts."""
    yield
    gc.collect()


@pytest.fixture(scope="module", params=[EngineName.inline, *WITH_WORKERS])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engines.start_engine(request.param, 1) as engine:
        yield engine


@pytest.fixture
def spread(engine: Engine) -> Engine:
    """Returns the engine if it has worker processes; skips the test otherwise."""
    if isinstance(engine, Inline):
        pytest.skip("it runs in the driver, and ends with it")
    return engine


def spec(root: Path, seed: int = 0, variant: str = "linear", dataset: str = "usps") -> RunSpec:
    source = DataSource(root)
    return specify(variant, dataset, profile=ProfileName.smoke, seed=seed, source=source)


def job(root: Path, seed: int = 0) -> Job:
    return Job(spec(root, seed), "study")


def worker_context(root: Path, results: Path) -> WorkerContext:
    return WorkerContext(DataSource(root), results)


def sum_of(first: int, second: int) -> int:
    return first + second


def refuse() -> None:
    raise InputError("no")


def overflow() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    error.filename = "record.json"
    raise error


def die() -> None:
    os._exit(1)


def hang(seconds: float, place: Path) -> None:
    with Watchdog(seconds, place):
        time.sleep(PATIENCE)


def linger(place: Path) -> None:
    """Writes the id of this process into a file, and sleeps."""
    place.write_text(str(os.getpid()))
    time.sleep(PATIENCE)


def stop_here() -> None:
    """Stops this process, as a debugger or a dying disk does."""
    os.kill(os.getpid(), signal.SIGSTOP)


def stay(place: Path) -> None:
    """Ignores SIGTERM, writes the id of this process into a file, and sleeps."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    linger(place)


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
    with pytest.raises(OSError, match=r"No space left on device: 'record\.json'"):
        engine.submit(overflow).result(PATIENCE)


def test_a_run_is_the_same_on_every_engine(engine: Engine, tmp_path: Path) -> None:
    record = engine.begin(job(tmp_path), worker_context(tmp_path, tmp_path)).result(PATIENCE)
    alone = engines.execute(job(tmp_path), worker_context(tmp_path, tmp_path / "alone"))
    assert record.digest == alone.digest
    assert RunFolder(tmp_path, record.run_id).read() == record


def test_a_worker_that_dies_takes_its_own_run_with_it(spread: Engine) -> None:
    with pytest.raises(BrokenExecutor):
        spread.submit(die).result(PATIENCE)
    assert spread.submit(sum_of, 1, 2).result(PATIENCE) == 3
    until(lambda: spread.workers == 1)


def test_a_worker_that_hangs_is_a_worker_that_died(spread: Engine, tmp_path: Path) -> None:
    place = tmp_path / "run" / "hung.txt"
    with pytest.raises(BrokenExecutor):
        spread.submit(hang, 0.5, place).result(PATIENCE)
    assert " in hang\n" in place.read_text()
    assert spread.submit(sum_of, 1, 2).result(PATIENCE) == 3


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_a_stopped_worker_that_is_abandoned_is_replaced(name: EngineName) -> None:
    with engines.start_engine(name, 1) as engine:
        future = engine.submit(stop_here)
        time.sleep(2)
        engine.abandon(future)
        with pytest.raises(BrokenExecutor):
            future.result(PATIENCE)
        assert engine.submit(sum_of, 1, 2).result(PATIENCE) == 3


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_an_end_with_cancelling_ends_what_runs(name: EngineName, tmp_path: Path) -> None:
    engine = engines.start_engine(name, 1)
    engine.submit(linger, tmp_path / "worker")
    until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
    engine.shutdown(cancel_futures=True)
    until(lambda: not alive(int((tmp_path / "worker").read_text())))


def test_killed_workers_end_at_once(tmp_path: Path) -> None:
    engine = engines.start_engine(EngineName.processes, 1)
    engine.submit(stay, tmp_path / "worker")
    until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
    begun = time.monotonic()
    engine.kill()
    until(lambda: not alive(int((tmp_path / "worker").read_text())))
    assert time.monotonic() - begun < interrupts.GRACE - 1
    engine.shutdown()


def test_a_ctrl_c_while_workers_leave_ends_them_at_once(tmp_path: Path) -> None:
    """The first Ctrl-C asks the workers to leave; the second ends them."""
    engine = engines.start_engine(EngineName.processes, 1)
    engine.submit(stay, tmp_path / "worker")
    until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT)).start()
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.shutdown(cancel_futures=True)
    finally:
        signal.signal(signal.SIGINT, before)
    until(lambda: not alive(int((tmp_path / "worker").read_text())))
    assert time.monotonic() - begun < interrupts.GRACE - 1
    engine.shutdown()


def tables(results: Path) -> dict[str, bytes]:
    """Reads all tables that must be equal in equal sweeps."""
    write_tables(build_tables(read_results(results)), results / "tables", ["csv"], [])
    found = {p.name: p.read_bytes() for p in (results / "tables").glob("*.csv")}
    del found["costs.csv"], found["scores.csv"]  # they have what a clock measured
    assert b"linear" in found["leaderboard.csv"]
    return found


class Lent(Engine):
    """Lends a started engine to several sweeps; no sweep ends it, so its workers start only
    once.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def begin(self, job: Job, context: WorkerContext) -> Future[RunRecord]:
        return self.engine.begin(job, context)

    @property
    def workers(self) -> int:
        return self.engine.workers

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Does nothing: the workers wait for the next sweep."""


def swept(results: Path, sampler: Sampler, name: EngineName, workers: int) -> dict[str, bytes]:
    """Makes a small sweep of two studies whose samplers learn from results, and returns its
    tables.
    """
    choice = Options(
        profile=ProfileName.smoke,
        data=results / "no-data",
        only=("linear/usps", "linear/mnist"),
        trials=5,
        engine=name,
        workers=workers,
        sampler=sampler,
        offline=True,
    )
    sweep(choice, results)
    return tables(results)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[Sampler, dict[str, bytes]]:
    """Returns, by sampler, the tables of a sweep that made its runs one after the other."""
    return {
        sampler: swept(tmp_path_factory.mktemp("alone"), sampler, EngineName.inline, 1)
        for sampler in (Sampler.tpe, Sampler.gp)
    }


CREWS = [(EngineName.inline, 4), *((name, n) for name in WITH_WORKERS for n in (1, 2, 4))]
"""Engines with their numbers of workers; inline makes one run at a time with any number."""


@pytest.fixture(scope="module", params=CREWS, ids=lambda crew: f"{crew[0].value}-{crew[1]}")
def crew(request: pytest.FixtureRequest) -> Iterator[tuple[EngineName, int, Engine]]:
    name, workers = request.param
    with engines.start_engine(name, workers) as engine:
        yield name, workers, Lent(engine)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [Sampler.tpe, Sampler.gp])
def test_no_engine_and_no_number_of_workers_shows_in_a_table(
    sampler: Sampler,
    crew: tuple[EngineName, int, Engine],
    alone: dict[Sampler, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, workers, engine = crew

    def start(asked: EngineName, count: int, **_: object) -> Engine:
        assert asked == name
        assert count in (workers, 1 if name is EngineName.inline else workers)
        return engine

    monkeypatch.setattr(engines, "start_engine", start)
    assert swept(tmp_path, sampler, name, workers) == alone[sampler]


def test_samplers_differ_in_what_they_propose(alone: dict[Sampler, dict[str, bytes]]) -> None:
    """Without this, equal tables in the tests above would prove nothing."""
    assert alone[Sampler.tpe]["runs.csv"] != alone[Sampler.gp]["runs.csv"]


def test_what_a_worker_elsewhere_leaves_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not see the results folder sends its files; it has another token."""
    monkeypatch.setattr(dask_engine, "token_of", lambda results: "of another folder")
    results = tmp_path / "results"
    with engines.start_engine(EngineName.dask, 1) as engine:
        record = engine.begin(job(tmp_path), worker_context(tmp_path, results)).result(PATIENCE)
    home = results / "runs" / record.run_id
    assert RunFolder(results, record.run_id).read() == record
    assert len((home / "metrics.jsonl").read_text().splitlines()) == record.epochs
    assert (home / "weights.safetensors").exists()


def test_a_file_sent_to_a_place_outside_is_not_taken(tmp_path: Path) -> None:
    record = engines.execute(job(tmp_path), worker_context(tmp_path, tmp_path))
    for name in ("../../escaped", "/escaped"):
        with pytest.raises(InputError, match="use only workers that you trust"):
            remote.store_result(tmp_path / "results", remote.RemoteResult(record, {name: b"x"}))
    assert not list(tmp_path.rglob("escaped"))


@pytest.fixture
def scheduler() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Starts a Dask scheduler as a user does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    yield f"tcp://127.0.0.1:{port}", process
    process.kill()
    process.wait()


def dask(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_workers_join_late_and_a_lost_scheduler_is_one_sentence(
    scheduler: tuple[str, subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    address, process = scheduler
    until(lambda: answers(address))
    engine = engines.start_engine(EngineName.dask, 1, scheduler=address)
    assert "no worker has joined" in capsys.readouterr().err
    assert engine.workers == 0
    early = engine.submit(sum_of, 1, 2)
    worker = dask("worker", address, "--nthreads", "1", "--resources", "run=1", "--no-dashboard")
    try:
        assert early.result(PATIENCE) == 3
        until(lambda: engine.workers == 1)
        waiting = engine.submit(time.sleep, PATIENCE)
        process.kill()
        with pytest.raises(InputError, match=r"scheduler at tcp.* is gone"):
            waiting.result(PATIENCE)
    finally:
        worker.kill()
        worker.wait()
        engine.shutdown(cancel_futures=True)


@pytest.mark.parametrize("gpu", ["", "A GPU"])
def test_auto_means_what_the_workers_of_a_scheduler_have(
    gpu: str,
    scheduler: tuple[str, subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    address, _ = scheduler
    until(lambda: answers(address))
    with monkeypatch.context() as patient:
        patient.setattr(dask_engine, "FIRST_WORKER_SECONDS", 0.0)
        with pytest.raises(
            InputError, match=r"no worker of .* has reported its device yet: .* give --device cpu"
        ):
            dask_engine.choose_device(address)
    (tmp_path / "pretend.py").write_text(PRETEND)
    preloaded = f"['{tmp_path}/pretend.py']"
    monkeypatch.setitem(ENVIRONMENT, "DASK_DISTRIBUTED__WORKER__PRELOAD", preloaded)
    monkeypatch.setitem(ENVIRONMENT, "PRETENDED_GPU", gpu)
    worker = dask("worker", address, "--nthreads", "1", "--resources", "run=1", "--no-dashboard")
    try:
        # The worker may join after the sweep has begun.
        assert dask_engine.choose_device(address)[0] == ("cuda" if gpu else "cpu")
        assert capsys.readouterr().err == ""
        engine = engines.start_engine(EngineName.dask, 1, scheduler=address, needs_gpu=True)
        printed: list[str] = []

        def heard() -> bool:
            printed.append(capsys.readouterr().err)
            return "the worker at" in "".join(printed)

        until(heard)
        assert ("finds no GPU, which" in "".join(printed)) == (not gpu)
        assert (": A GPU" in "".join(printed)) == bool(gpu)
        assert engine.workers == (1 if gpu else 0)
        engine.shutdown(cancel_futures=True)
    finally:
        worker.kill()
        worker.wait()


def answers(address: str) -> bool:
    host, port = address.removeprefix("tcp://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "JOIN_SECONDS", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        engines.start_engine(EngineName.dask, 1, scheduler="tcp://127.0.0.1:9")
