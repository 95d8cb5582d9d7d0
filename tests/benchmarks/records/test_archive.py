"""Tests that exported archives are byte-identical for equal results, and that `reports` reads
them elsewhere.
"""

from __future__ import annotations

import errno
import os
import tarfile
from pathlib import Path

import pytest

from benchmarks.records.archive import pack
from benchmarks.records.errors import InputError
from reports.results import read_results
from reports.table_files import write_tables
from reports.tables import build_tables
from tests.reports.results_folder import sweep


def tables(results: Path) -> dict[str, bytes]:
    write_tables(build_tables(read_results(results)), results / "tables", ["csv"], [])
    return {path.name: path.read_bytes() for path in (results / "tables").iterdir()}


def test_reports_read_it_elsewhere(tmp_path: Path) -> None:
    results = sweep().write(tmp_path / "here")
    run = next((results / "runs").iterdir())
    (run / "last.ckpt").write_bytes(b"large")
    (run / "picture.png").symlink_to("/etc/hostname")
    pack(results, tmp_path / "sweep.tar.gz")
    with tarfile.open(tmp_path / "sweep.tar.gz") as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "there", filter="data")
    assert tables(tmp_path / "there" / "results") == tables(results)
    assert not [name for name in names if name.endswith((".ckpt", ".png"))]


def test_an_archive_has_the_page_and_no_cache(tmp_path: Path) -> None:
    """A cache from elsewhere would say that the report there is current."""
    results = sweep().write(tmp_path / "here")
    for name in ("index.html", "tables/runs.csv", "index/whole.txt", "index/curves/a.parquet"):
        (results / "report" / name).parent.mkdir(parents=True, exist_ok=True)
        (results / "report" / name).write_text("written")
    pack(results, tmp_path / "sweep.tar.gz")
    with tarfile.open(tmp_path / "sweep.tar.gz") as archive:
        names = [name for name in archive.getnames() if name.startswith("results/report")]
    assert names == ["results/report/index.html", "results/report/tables/runs.csv"]


def test_equal_results_make_equal_archives(tmp_path: Path) -> None:
    for name, shuffle in (("a", 0), ("b", 1)):
        pack(sweep().write(tmp_path / name, shuffle=shuffle), tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_a_folder_without_a_sweep_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no sweep to export"):
        pack(tmp_path, tmp_path / "x.tar.gz")
    assert not list(tmp_path.iterdir())


def test_a_place_that_takes_no_archive_is_one_sentence(tmp_path: Path) -> None:
    results = sweep().write(tmp_path / "results")
    for place in (tmp_path, tmp_path / "missing" / "x.tar.gz"):
        with pytest.raises(InputError, match="cannot be an archive"):
            pack(results, place)


def test_a_full_disk_leaves_the_archive_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, archive = sweep().write(tmp_path / "results"), tmp_path / "x.tar.gz"
    archive.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pack(results, archive)
    assert archive.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"results", "x.tar.gz"}
