"""Keeps track of the workers of a Dask scheduler: which are accepted, and which are free."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from distributed import Client, Future

from benchmarks.records.record import changes
from sweeps.engines.remote import Call, Introduction, introduce_worker, shared_conditions

RESOURCE = "run"
"""The Dask resource of workers: one unit for each run that a worker executes at the same time."""

START = "`.venv/bin/dask worker ADDRESS --nthreads 1 --memory-limit 0 --resources run=1`"
"""The command that starts a worker, for messages."""


@dataclass
class ClusterWorker:
    """Holds the state of a worker that the scheduler knows."""

    address: str
    slots: int
    """The number of runs that the worker executes at the same time."""
    introduction: Future | None = None
    """The future of the worker's introduction; None after it has arrived."""
    found: Introduction | None = None
    """The introduction, after it has arrived."""
    accepted: bool = False
    """Whether the worker may get runs of this sweep."""
    running: int = 0
    """The number of runs that the worker executes now."""


@dataclass
class ClusterWorkers:
    """Keeps track of the workers of a scheduler.

    A worker that cannot compute this sweep's runs gets none, and a line on stderr says why.

    Args:
        client: the client of the scheduler.
        needs_gpu: whether a worker must have a GPU.
        trusted: whether this process has started all workers, so that they need no examination.
        quiet: whether nothing is printed.
        known: the workers by address.
    """

    client: Client
    needs_gpu: bool = False
    trusted: bool = False
    quiet: bool = False
    known: dict[str, ClusterWorker] = field(default_factory=dict)
    _said_none: bool = False

    @property
    def slots(self) -> int:
        """Counts the runs that all accepted workers execute at the same time."""
        return sum(m.slots for m in list(self.known.values()) if m.accepted)

    def free(self) -> ClusterWorker | None:
        """Returns an accepted worker that can take one more run; None if all are busy."""
        for member in self.known.values():
            if member.accepted and member.running < member.slots:
                return member
        return None

    def update(self) -> list[str]:
        """Adds new workers, examines introductions that have arrived, and removes lost workers.

        Returns:
            The addresses of the lost workers.
        """
        present = self.client.scheduler_info(n_workers=-1)["workers"]
        gone = [address for address in self.known if address not in present]
        for address in gone:
            del self.known[address]
        for address, facts in present.items():
            if address not in self.known:
                self._welcome(address, int(facts["resources"].get(RESOURCE, 0)))
        for member in self.known.values():
            if member.introduction is not None and member.introduction.done():
                self._examine(member, member.introduction)
        self._say_if_none_serves()
        return gone

    def _welcome(self, address: str, slots: int) -> None:
        member = self.known[address] = ClusterWorker(address, slots)
        if slots == 0:
            self._refuse(member, f"offers no resource `{RESOURCE}`: start it with {START}")
        elif self.trusted:
            member.accepted = True
        else:
            call = partial(introduce_worker, with_gpu=self.needs_gpu)
            member.introduction = submit_to_worker(self.client, call, address)

    def _examine(self, member: ClusterWorker, introduction: Future) -> None:
        member.introduction = None
        try:
            found: Introduction = introduction.result()
            member.found = found
        except Exception as error:
            # The worker has died and will soon be lost, or its environment lacks a module.
            why = f"cannot compute runs ({type(error).__name__}: {error}): start it with {START}"
            self._refuse(member, f"{why} in a checkout that `setup.sh` has set up")
            return
        changed = changes(shared_conditions(with_gpu=self.needs_gpu), found.conditions)
        if changed:
            self._refuse(
                member,
                f"on {found.host} has other conditions than the driver ({changed}): give both the "
                "same code and libraries, and the same ATEN_CPU_CAPABILITY if their processors "
                "differ, and start it again",
            )
        elif self.needs_gpu and found.gpu is None:
            self._refuse(
                member,
                f"on {found.host} finds no GPU, which the runs of this sweep need: start it on a "
                "machine with a GPU, or begin a sweep with --device cpu",
            )
        else:
            member.accepted = True
            self._said_none = False
            self._say(f"the worker at {member.address} gets runs, {found}")

    def _refuse(self, member: ClusterWorker, why: str) -> None:
        self._say(f"the worker at {member.address} gets no run: it {why}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(f"capsbench: {text}", file=sys.stderr)

    def _say_if_none_serves(self) -> None:
        waits = self.known and not self.slots
        if waits and not any(m.introduction for m in self.known.values()) and not self._said_none:
            self._said_none = True
            self._say("no worker can compute the runs of this sweep; it waits for one that can")


def submit_to_worker(client: Client, call: Callable[[], Any], address: str) -> Future:
    """Submits a call to one worker; the scheduler needs no module of this project for it.

    Args:
        client: the client of the scheduler.
        call: the call, which can be pickled.
        address: the address of the worker.

    Returns:
        The future of the result.
    """
    return client.submit(
        pickle.loads,
        pickle.dumps(Call(call)),
        workers=[address],
        allow_other_workers=False,
        pure=False,
    )
