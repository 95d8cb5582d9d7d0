"""Kills sweeps and damages their files, and checks that the results equal those of an undisturbed
sweep.

    python -m tests.tools.chaos --kills 100 --seed 0

makes one undisturbed sweep, and then disturbed sweeps on each engine in turn. At random moments it
kills a driver, a worker or a Dask scheduler, or sends SIGTERM or Ctrl-C. While no driver is
running, it damages or removes a checkpoint, a `metrics.jsonl` or a W&B file. Then it resumes the
sweep. At the end it compares the records, the stored trials, and all tables except costs and
scores, byte for byte. The exit code is 1 if they differ.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from models import registry
from sweeps.options import EngineName

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_DATA": "", "PYTHONPATH": str(ROOT)}
CELLS = ("linear/usps", "cnn/moving_mnist", "convlstm/mnist", "ocae/usps")
"""The cells of each sweep, if their variants exist. A run of ocae needs a run of its base."""

KILLS_A_SWEEP = 5
WORKER_KILLS = 2
"""In a driver's life at most: the third death of one run's worker is a failure by design."""
LEAVE_SECONDS = 10.0
PATIENCE = 600.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass
class Tally:
    """Counts the attacks on a sweep, and their effects."""

    strikes: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    seconds_to_stop: list[float] = field(default_factory=list)
    """Seconds from SIGTERM or Ctrl-C to the driver's end."""
    sweeps: int = 0
    different: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(self.strikes.values())

    def __str__(self) -> str:
        counts = ", ".join(f"{n} × {what}" for what, n in sorted(self.strikes.items()))
        files = ", ".join(f"{n} × {what}" for what, n in sorted(self.damages.items()))
        slowest = f"{max(self.seconds_to_stop):.1f} s" if self.seconds_to_stop else "none was asked"
        return (
            f"{self.sweeps - len(self.different)} of {self.sweeps} sweeps identical after "
            f"{self.kills} kills ({counts}); files: {files or 'none'}; slowest to leave: {slowest}"
        )


@app.command()
def main(
    kills: Annotated[int, typer.Option(min=1, help="Kills in all.")] = 100,
    seed: Annotated[int, typer.Option(help="Where targets and moments come from.")] = 0,
    only: Annotated[
        list[EngineName] | None, typer.Option("--engine", help="All by default.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="The folder in which results are kept.")] = None,
) -> None:
    """Attacks sweeps until there were `kills` kills."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        tally = attack(keep or Path(scratch), kills, seed, only or list(_GROUNDS))
    print(tally)
    raise SystemExit(1 if tally.different else 0)


def attack(folder: Path, kills: int, seed: int, engines: list[EngineName]) -> Tally:
    """Attacks sweeps in a folder, on each engine in turn, until there were `kills` kills."""
    draw = random.Random(seed)
    tally = Tally()
    folder.mkdir(parents=True, exist_ok=True)
    undisturbed = folder / "undisturbed"
    _finish(_begin(undisturbed, "--engine", "inline"))
    wanted = _state(undisturbed)
    grounds = [_GROUNDS[name] for name in engines]
    if EngineName.dask in engines:
        grounds.append(_joined)
    while tally.kills < kills:
        ground = grounds[tally.sweeps % len(grounds)]
        results = folder / f"{tally.sweeps:03}"
        with ground() as (options, outside):
            sweep = _Sweep(results, options, outside, draw, tally, len(wanted["records"]))
            sweep.run(min(KILLS_A_SWEEP, kills - tally.kills))
        found = _state(results)
        tally.sweeps += 1
        difference = [name for name in wanted if found[name] != wanted[name]]
        if difference:
            tally.different.append(f"{results.name}: {', '.join(difference)}")
        verdict = f"DIFFERS in {', '.join(difference)}" if difference else "identical"
        print(f"{results.name} {' '.join(options)}: {verdict} after {sweep.faults}", flush=True)
    return tally


@dataclass
class _Outside:
    """Holds the processes of an engine that the driver did not start."""

    scheduler: Callable[[], int] | None = None
    """Kills it, and starts another at the same address once the driver has ended."""
    parents: Callable[[], list[int]] = list
    """Processes whose children are workers."""


class _Sweep:
    def __init__(
        self,
        results: Path,
        options: list[str],
        outside: _Outside,
        draw: random.Random,
        tally: Tally,
        records: int,
    ) -> None:
        self.results, self.options, self.outside = results, options, outside
        self.draw, self.tally, self.records = draw, tally, records
        self.done: list[str] = []

    @property
    def faults(self) -> str:
        return ", ".join(self.done) or "nothing"

    def run(self, kills: int) -> None:
        driver = _begin(self.results, *self.options)
        dead_workers = 0
        while kills and self._wait(driver, kills):
            targets = ["kill driver", "SIGTERM driver", "Ctrl-C"]
            at_work = workers([driver.pid, *self.outside.parents()])
            if at_work and dead_workers < WORKER_KILLS:
                targets += ["kill worker"] * 2 + ["SIGTERM worker"]
                targets += ["kill server"] * len(_servers([driver.pid]))
            if self.outside.scheduler is not None:
                targets.append("kill scheduler")
            target = self.draw.choice(targets)
            kills -= 1
            self.done.append(target)
            self.tally.strikes[target] += 1
            if target.endswith(("worker", "server")):
                dead_workers += 1
                number = signal.SIGTERM if target.startswith("SIGTERM") else signal.SIGKILL
                struck = _servers([driver.pid]) if target.endswith("server") else at_work
                _send(self.draw.choice(struck), number)
                continue
            self._strike(driver, target)
            if self.draw.random() < 0.7:
                self._damage()
            dead_workers = 0
            driver = _resume(self.results)
        _finish(driver)

    def _wait(self, driver: subprocess.Popen[bytes], kills: int) -> bool:
        """Waits for a random part of the remaining work. Returns whether the driver is still
        running.
        """
        made = len(list(self.results.glob("runs/*/record.json")))
        more = self.draw.uniform(0, 2 * (self.records - made) / (kills + 1))
        before, begun = _progress(self.results), time.monotonic()
        early = self.draw.uniform(0, 20) if self.draw.random() < 0.1 else PATIENCE
        while time.monotonic() - begun < early and driver.poll() is None:
            now = len(list(self.results.glob("runs/*/record.json")))
            if now >= made + int(more) and _progress(self.results) != before:
                time.sleep(self.draw.random())
                break
            time.sleep(0.05)
        return driver.poll() is None

    def _strike(self, driver: subprocess.Popen[bytes], target: str) -> None:
        begun = time.monotonic()
        if target == "kill driver":
            driver.kill()
        elif target == "SIGTERM driver":
            driver.terminate()
        elif target == "Ctrl-C":
            driver.send_signal(signal.SIGINT)
        else:
            assert self.outside.scheduler is not None
            self.outside.scheduler()
        _, printed = driver.communicate(timeout=PATIENCE)
        # A driver that has no checkpoint to write ends by the signal itself, or with exit code 0.
        allowed = {
            "kill driver": {-signal.SIGKILL},
            "SIGTERM driver": {143, -signal.SIGTERM},
            "Ctrl-C": {130, -signal.SIGINT, 1},
            "kill scheduler": {2},
        }[target] | {0}
        if driver.returncode not in allowed:
            raise RuntimeError(f"{target}: exit code {driver.returncode}: {printed.decode()}")
        if driver.returncode in (143, 130):
            self.tally.seconds_to_stop.append(time.monotonic() - begun)

    def _damage(self) -> None:
        kinds = {
            "checkpoint": list(self.results.glob("runs/*/*.ckpt")),
            "metrics.jsonl": list(self.results.glob("runs/*/metrics.jsonl")),
            "W&B file": [p for p in self.results.glob("runs/*/wandb/**/*.wandb") if p.is_file()],
        }
        kind = self.draw.choice([kind for kind, paths in kinds.items() if paths] or [""])
        if not kind:
            return
        path = self.draw.choice(sorted(kinds[kind]))
        how = self.draw.choice(["truncated", "flipped", "removed"])
        try:
            content = bytearray(path.read_bytes())
            place = self.draw.randrange(max(0, len(content) - 200), len(content))
            if kind == "checkpoint":
                place = self.draw.randrange(len(content))
            if how == "removed":
                path.unlink()
            elif how == "flipped":
                content[place] ^= 1 << self.draw.randrange(8)
                path.write_bytes(content)
            else:
                path.write_bytes(content[:place])
        except (FileNotFoundError, ValueError):
            return  # a worker that outlived its driver was there first, or the file is empty
        self.tally.damages[f"{kind} {how}"] += 1
        self.done.append(f"{kind} {how}")


def _begin(results: Path, *options: str) -> subprocess.Popen[bytes]:
    cells = [cell for cell in CELLS if cell.partition("/")[0] in registry.available()]
    only = [part for cell in cells for part in ("--only", cell)]
    return _driver("run", "--profile", "smoke", "--offline", *only, *options, results=results)


def _resume(results: Path) -> subprocess.Popen[bytes]:
    return _driver("resume", results=results)


def _driver(*arguments: str, results: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tools.attacked", *arguments, "--results", str(results)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _finish(driver: subprocess.Popen[bytes]) -> None:
    _, printed = driver.communicate(timeout=PATIENCE)
    if driver.returncode != 0:
        raise RuntimeError(f"a sweep ended with {driver.returncode}: {printed.decode()}")


def _progress(results: Path) -> dict[Path, int]:
    found = {}
    for name in ("record.json", "last.ckpt"):
        for path in results.glob(f"runs/*/{name}"):
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
    return found


def _state(results: Path) -> dict[str, Any]:
    """Reads what must be equal in equal sweeps."""
    tables = (results / "report" / "tables").iterdir()
    state: dict[str, Any] = {
        path.name: path.read_bytes()
        for path in tables
        if not path.name.startswith(("costs.", "scores."))
    }
    state["records"] = sorted(
        (record["run_id"], record["digest"])
        for record in (json.loads(p.read_bytes()) for p in results.glob("runs/*/record.json"))
    )
    with sqlite3.connect(results / "studies.db") as studies:
        state["trials"] = studies.execute(
            "SELECT study_name, number, state FROM trials JOIN studies USING (study_id) "
            "ORDER BY study_name, number"
        ).fetchall()
    studies.close()
    return state


def workers(parents: list[int]) -> list[int]:
    """Lists the worker processes: spawned children, or children of the server that forks
    workers.
    """
    forked = [worker for server in _servers(parents) for worker in _children(server)]
    children = [child for parent in parents for child in _children(parent)]
    return forked + [child for child in children if _runs(child, b"spawn_main")]


def _servers(parents: list[int]) -> list[int]:
    """Lists the processes from which workers are forked."""
    children = [child for parent in parents for child in _children(parent)]
    return [child for child in children if _runs(child, b"forkserver")]


def _children(process: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def _runs(process: int, code: bytes) -> bool:
    try:
        return code in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _send(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


Ground = Iterator[tuple[list[str], _Outside]]


@contextmanager
def _inline() -> Ground:
    yield ["--engine", "inline"], _Outside()


@contextmanager
def _processes() -> Ground:
    yield ["--engine", "processes", "--workers", "2"], _Outside()


@contextmanager
def _dask() -> Ground:
    yield ["--engine", "dask", "--workers", "2"], _Outside()


@contextmanager
def _joined() -> Ground:
    """Starts a scheduler and two workers before the driver."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="chaos-dask-") as scratch:
        processes: list[subprocess.Popen[bytes]] = []

        def start(*arguments: str) -> None:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
                    cwd=ROOT,
                    env=ENVIRONMENT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

        def start_all() -> None:
            start("scheduler", "--host", "127.0.0.1", "--port", str(port))
            for _ in range(2):
                worker = ("--nthreads", "1", "--memory-limit", "0", "--resources", "run=1")
                own = ("--local-directory", scratch, "--preload", "tests.tools.attacked")
                start("worker", address, *worker, *own)

        def stop_all() -> None:
            for process in processes:
                at_work = workers([process.pid])
                process.kill()
                for worker in at_work:
                    _send(worker, signal.SIGKILL)
                process.wait()
            processes.clear()

        def replace() -> int:
            killed = processes[0].pid
            stop_all()
            start_all()
            return killed

        start_all()
        try:
            yield (
                ["--scheduler", address],
                _Outside(replace, lambda: [process.pid for process in processes]),
            )
        finally:
            stop_all()


_GROUNDS = {
    EngineName.inline: _inline,
    EngineName.processes: _processes,
    EngineName.dask: _dask,
}

if __name__ == "__main__":
    app()
