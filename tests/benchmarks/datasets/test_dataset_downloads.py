"""Tests downloads from a local server in place of the official server."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.datasets import downloads, usps
from benchmarks.datasets.data_files import File, Layout
from benchmarks.datasets.dataset import DataSource
from benchmarks.datasets.downloads import UnavailableError, find_or_download
from benchmarks.records.errors import InputError
from tests.benchmarks.datasets import dataset_files as make

CONTENTS = make.contents("usps")
TRAIN, TEST = CONTENTS


class Server(ThreadingHTTPServer):
    """Serves `CONTENTS` except the files in `lost`; the first `cuts` answers are cut in the middle.

    `asked` records the requested files.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts = 0
        self.delay = 0.0
        self.lost: set[str] = set()
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        name = self.path[1:]
        self.server.asked.append(name)
        time.sleep(self.server.delay)
        content = b"" if name in self.server.lost else CONTENTS.get(name, b"")
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Prints nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        sleep = staticmethod(lambda seconds: None)

    monkeypatch.setattr("pooch.core.time", Clock)


def layout(address: str, **sums: str) -> Layout:
    named = {
        name: sums.get(name.split(".")[1], hashlib.md5(content).hexdigest())
        for name, content in CONTENTS.items()
    }
    listed = tuple(File(name, md5, address + name) for name, md5 in named.items())
    return Layout(folders=("USPS", "."), files=listed, decode=usps.read_text)


def on_disk(root: Path) -> dict[str, bytes]:
    """Lists the files in the dataset's folder; staged files are left out."""
    return {p.name: p.read_bytes() for p in (root / "USPS").glob("*") if p.is_file()}


def test_data_set_is_downloaded_and_read(server: Server, tmp_path: Path) -> None:
    here = dataclasses.replace(usps.DATASET, layouts=(layout(server.address),), samples=(20, 10))
    data = here.read(DataSource(tmp_path / "data", "all"))
    assert (data.state, len(data.train.labels)) == ("official", 20)
    assert on_disk(tmp_path / "data") == CONTENTS
    assert {p.name for p in (tmp_path / "data" / "USPS").iterdir()} == set(CONTENTS)


def test_only_the_missing_file_is_downloaded(server: Server, tmp_path: Path) -> None:
    (tmp_path / TEST).write_bytes(b"mine")
    (place,) = find_or_download((layout(server.address),), tmp_path, download=True)
    assert place.folder == tmp_path
    assert server.asked == [TRAIN]
    assert (tmp_path / TEST).read_bytes() == b"mine"


def test_download_cut_in_the_middle_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.cuts = 1
    find_or_download((layout(server.address),), tmp_path, download=True)
    assert on_disk(tmp_path) == CONTENTS
    assert server.asked == [TRAIN, TRAIN, TEST]


def test_download_always_cut_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.cuts = 99
    with pytest.raises(UnavailableError, match="download failed"):
        find_or_download((layout(server.address),), tmp_path, download=True)
    assert on_disk(tmp_path) == {}
    assert server.asked == [TRAIN] * (1 + downloads.RETRIES)


def test_other_checksum_is_refused_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not match"):
        find_or_download((layout(server.address, bz2="0" * 32),), tmp_path, download=True)
    assert on_disk(tmp_path) == {}


def test_file_that_is_not_on_the_server(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="404"):
        find_or_download((layout(server.address + "nowhere/"),), tmp_path, download=True)


def test_half_a_data_set_and_no_download_is_an_input_error(server: Server, tmp_path: Path) -> None:
    server.cuts = 99
    (tmp_path / TEST).write_bytes(b"mine")
    for download, reason in ((False, "downloads are off"), (True, "download failed")):
        with pytest.raises(InputError, match=f"{TRAIN} is missing.*{reason}"):
            find_or_download((layout(server.address),), tmp_path, download=download)


def test_files_wait_for_each_other(server: Server, tmp_path: Path) -> None:
    server.lost = {TEST}
    for _ in range(2):
        with pytest.raises(UnavailableError, match="download failed"):
            find_or_download((layout(server.address),), tmp_path, download=True)
        with pytest.raises(UnavailableError, match="downloads are off"):
            find_or_download((layout(server.address),), tmp_path, download=False)
        assert on_disk(tmp_path) == {}
    server.lost = set()
    find_or_download((layout(server.address),), tmp_path, download=True)
    assert on_disk(tmp_path) == CONTENTS
    assert server.asked.count(TRAIN) == 1


def test_waiting_file_that_was_torn_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.lost = {TEST}
    with pytest.raises(UnavailableError):
        find_or_download((layout(server.address),), tmp_path, download=True)
    (torn,) = tmp_path.glob(f"USPS/.*/{TRAIN}")
    torn.write_bytes(b"")
    server.lost = set()
    find_or_download((layout(server.address),), tmp_path, download=True)
    assert on_disk(tmp_path) == CONTENTS


class Cut(BaseException):
    """Simulates the end of the process."""


def cut_at_move(number: int, monkeypatch: pytest.MonkeyPatch, server: Server, root: Path) -> None:
    """Downloads all files, and stops before the move of the file with the given number."""
    left = [number]

    def replace(source: Path, target: Path) -> None:
        if left[0] == 0:
            raise Cut
        left[0] -= 1
        source.rename(target)

    with monkeypatch.context() as patch:
        patch.setattr(downloads.os, "replace", replace)
        with pytest.raises(Cut):
            find_or_download((layout(server.address),), root, download=True)


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("moved", [0, 1])
def test_move_that_was_cut_is_ended_by_the_next_call_without_a_network(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int, download: bool
) -> None:
    cut_at_move(moved, monkeypatch, server, tmp_path)
    assert len(on_disk(tmp_path)) == moved
    monkeypatch.setattr(downloads, "_answers", lambda address: False)
    find_or_download((layout(server.address),), tmp_path, download=download)
    assert on_disk(tmp_path) == CONTENTS
    assert server.asked == [TRAIN, TEST]


def test_torn_file_is_not_moved_where_downloads_are_off(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_at_move(0, monkeypatch, server, tmp_path)
    (torn,) = tmp_path.glob(f"USPS/.*/{TEST}")
    torn.write_bytes(b"")
    with pytest.raises(UnavailableError, match="downloads are off"):
        find_or_download((layout(server.address),), tmp_path, download=False)
    assert on_disk(tmp_path) == {}


def test_dead_host_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    asked = []

    def head(address: str, timeout: float) -> None:
        asked.append(address)
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "head", head)
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    for _ in range(3):
        with pytest.raises(UnavailableError, match=r"example\.invalid does not answer"):
            find_or_download((layout("http://example.invalid/"),), tmp_path / "data", download=True)
    assert asked == ["http://example.invalid/"]
    assert not (tmp_path / "data").exists()


def test_hanging_host_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    release = threading.Event()
    monkeypatch.setattr(requests, "head", lambda address, timeout: release.wait(10))
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    with pytest.raises(UnavailableError, match="does not answer"):
        find_or_download((layout("http://example.invalid/"),), tmp_path, download=True)
    release.set()


def test_folder_one_may_not_write_to(server: Server, tmp_path: Path) -> None:
    (tmp_path / "USPS").write_bytes(b"a file where the folder should be")
    with pytest.raises(UnavailableError, match="download failed"):
        find_or_download((layout(server.address),), tmp_path, download=True)


def test_two_processes_download_once(server: Server, tmp_path: Path) -> None:
    server.delay = 0.3
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "from pathlib import Path; from test_dataset_downloads import *;"
        f"find_or_download((layout({server.address!r}),), Path({str(tmp_path)!r}), download=True)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sorted(server.asked) == sorted(CONTENTS)
    assert on_disk(tmp_path) == CONTENTS
