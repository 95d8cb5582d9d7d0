"""Tests that Lightning still has the private interfaces which the product replaces.

A change of another private interface raises AttributeError in the tests of the code that calls it;
ruff's rule SLF001 finds such calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from benchmarks.tasks import Task
from tests.benchmarks.test_run import made, spec_of


def test_lightning_registers_its_signal_handlers_by_this_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`several_devices` replaces the method, since the handler broadcasts."""
    called: list[_SignalConnector] = []

    def register(self: _SignalConnector) -> None:
        called.append(self)

    monkeypatch.setattr(_SignalConnector, "register_signal_handlers", register)
    made(spec_of("linear", epochs=1), tmp_path)
    assert called


def test_lightning_names_the_current_hook_in_this_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Task` stores the attribute without torch's search, which would take time in each step."""
    stored: list[str] = []
    store = Task.__setattr__

    def noting(self: Task[Any], name: str, value: Any) -> None:
        stored.append(name)
        store(self, name, value)

    monkeypatch.setattr(Task, "__setattr__", noting)
    record = made(spec_of("linear", epochs=1), tmp_path)
    assert record.samples is not None
    assert stored.count("_current_fx_name") > record.samples.train // 16, "at each training step"
