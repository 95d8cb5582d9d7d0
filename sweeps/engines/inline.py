"""Defines the engine that makes each run in the driver's process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from sweeps.engines.base import Engine

P = ParamSpec("P")
T = TypeVar("T")


class Inline(Engine):
    """Makes each run in this process while it is submitted, one at a time; for debugging."""

    @property
    def workers(self) -> int:
        return 1

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
