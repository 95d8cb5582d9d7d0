"""The workers of a Dask scheduler: which of them may serve this sweep, and who is free."""

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
"""Each worker offers one, for a GPU or some cores of its own: it makes one run at a time."""

START = "`.venv/bin/dask worker ADDRESS --nthreads 1 --memory-limit 0 --resources run=1`"


@dataclass
class ClusterWorker:
    """A worker that the scheduler knows."""

    address: str
    slots: int
    """Runs that it makes at once."""
    introduction: Future | None = None
    """Of this worker, until it has introduced itself."""
    found: Introduction | None = None
    """What it has said of itself."""
    accepted: bool = False
    running: int = 0


@dataclass
class ClusterWorkers:
    """The workers of a scheduler. A worker that cannot serve is left out, and named once.

    Args:
        client: of the scheduler.
        needs_gpu: whether a worker must see a GPU.
        trusted: whether all workers are known to be as this process, which has started them.
        quiet: whether nothing is printed.
    """

    client: Client
    needs_gpu: bool = False
    trusted: bool = False
    quiet: bool = False
    known: dict[str, ClusterWorker] = field(default_factory=dict)
    _said_none: bool = False

    @property
    def slots(self) -> int:
        """Counts the runs that all accepted workers make at once."""
        return sum(m.slots for m in list(self.known.values()) if m.accepted)

    def free(self) -> ClusterWorker | None:
        """Finds an accepted worker that could make one more run."""
        for member in self.known.values():
            if member.accepted and member.running < member.slots:
                return member
        return None

    def update(self) -> list[str]:
        """Takes note of workers that have come, have introduced themselves, or have gone.

        Returns:
            The addresses of those that have gone.
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
            # It has died, and is gone soon; or its environment lacks what it needs.
            why = f"cannot serve ({type(error).__name__}: {error}): start it with {START}"
            self._refuse(member, f"{why} in a checkout that `setup.sh` has set up")
            return
        changed = changes(shared_conditions(with_gpu=self.needs_gpu), found.conditions)
        if changed:
            self._refuse(
                member,
                f"on {found.host} works under other conditions than the driver ({changed}): give "
                "both the same code and libraries, and where processors differ the same "
                "ATEN_CPU_CAPABILITY, and start it again",
            )
        elif self.needs_gpu and found.gpu is None:
            self._refuse(
                member,
                f"on {found.host} sees no GPU, which this sweep's runs need: start it where there "
                "is one, or begin a sweep with --device cpu",
            )
        else:
            member.accepted = True
            self._said_none = False
            self._say(f"the worker at {member.address} serves, {found}")

    def _refuse(self, member: ClusterWorker, why: str) -> None:
        self._say(f"the worker at {member.address} gets no run: it {why}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(f"capsbench: {text}", file=sys.stderr)

    def _say_if_none_serves(self) -> None:
        waits = self.known and not self.slots
        if waits and not any(m.introduction for m in self.known.values()) and not self._said_none:
            self._said_none = True
            self._say("no worker can serve this sweep; it waits for one that can")


def submit_to_worker(client: Client, call: Callable[[], Any], address: str) -> Future:
    """Has one worker make a call, for which the scheduler needs no module of this project."""
    return client.submit(
        pickle.loads,
        pickle.dumps(Call(call)),
        workers=[address],
        allow_other_workers=False,
        pure=False,
    )
