"""Tests that merging refuses archives that were changed, cut or written by another tool."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from benchmarks.records.archive import pack
from benchmarks.records.errors import InputError
from benchmarks.records.folders import ResultsFolder
from reports.results import read_results
from sweeps.merge import merge_sources
from tests.reports.results_folder import Files, sweep


def archive(files: Files, folder: Path, name: str) -> Path:
    path = folder / f"{name}.tar.gz"
    pack(files.write(folder / name), path)
    return path


def one_cell() -> Files:
    """Makes one finished cell; its finals have equal models, as in a real sweep."""
    files = sweep(variants=("linear",), datasets=("mnist",))
    for run_id in files.cells["linear-mnist-quick"]["finals"]:
        files.records[run_id]["spec"]["hyperparameters"]["learning_rate"] = 0.001
    return files


def test_cells_of_two_people_stand_in_one_folder(tmp_path: Path) -> None:
    one = archive(sweep(datasets=("mnist",)), tmp_path, "one")
    two = archive(sweep(datasets=("usps",)), tmp_path, "two")
    merged = merge_sources([one, two], tmp_path / "both")
    both = sweep().write(tmp_path / "at once")
    assert not merged.refused
    assert read_results(tmp_path / "both").cells == read_results(both).cells


def test_finals_of_two_machines_are_united_and_equal_runs_are_kept_once(tmp_path: Path) -> None:
    files = one_cell()
    files.write(tmp_path / "whole")  # gives the changed runs their new ids
    whole = files.cells["linear-mnist-quick"]["finals"]
    paths = []
    for name, part in (("one", whole[:2]), ("two", whole[1:])):
        files.cells["linear-mnist-quick"] |= {"finals": part, "planned": {"trials": 4, "finals": 2}}
        paths.append(archive(files, tmp_path, name))
    merge_sources(paths, tmp_path / "both")
    (ledger,) = ResultsFolder(tmp_path / "both").ledgers()
    assert (ledger.finals, ledger.planned.finals, ledger.left) == (sorted(whole), 3, 0)


def test_a_run_whose_digest_does_not_match_is_refused_and_named(tmp_path: Path) -> None:
    files = one_cell()
    folder = files.write(tmp_path / "forged")
    changed = files.cells["linear-mnist-quick"]["finals"][1]
    path = folder / "runs" / changed / "record.json"
    record = json.loads(path.read_text())
    record["metrics"]["test/accuracy"] = 0.999
    path.write_text(json.dumps(record))
    merged = merge_sources([folder], tmp_path / "merged")
    assert changed in merged.refused[0]
    (ledger,) = ResultsFolder(tmp_path / "merged").ledgers()
    assert changed not in ledger.finals
    assert not (tmp_path / "merged" / "runs" / changed).exists()


def test_equal_specs_with_other_figures_are_refused(tmp_path: Path) -> None:
    files = one_cell()
    one = files.write(tmp_path / "one")
    files.run("linear-mnist-quick", "final", 0)["metrics"]["test/accuracy"] = 0.5
    merged = merge_sources([one, files.write(tmp_path / "two")], tmp_path / "both")
    assert len(merged.refused) == 1
    assert "code, libraries or processor differed" in merged.refused[0]


def test_cells_with_another_best_trial_are_not_united(tmp_path: Path) -> None:
    files = one_cell()
    one = files.write(tmp_path / "one")
    cell = files.cells["linear-mnist-quick"]
    cell["best"] = next(run_id for run_id in cell["trials"] if run_id != cell["best"])
    merged = merge_sources([one, files.write(tmp_path / "two")], tmp_path / "both")
    assert "linear-mnist-quick is left out" in merged.refused[0]


def test_a_folder_with_content_is_refused_unchanged(tmp_path: Path) -> None:
    one = sweep().write(tmp_path / "one")
    before = sorted(one.rglob("*"))
    with pytest.raises(InputError, match="is not empty"):
        merge_sources([one], one)
    assert sorted(one.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../../evil.json", "results/../cells/x.json", "/etc/x", "results/runs/a/weights.pt"]
)
def test_entries_that_export_does_not_write_are_refused(tmp_path: Path, name: str) -> None:
    hostile = tmp_path / "hostile.tar.gz"
    with tarfile.open(hostile, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(InputError, match="which `capsbench export` does not write"):
        merge_sources([hostile], tmp_path / "inner" / "results")
    assert {path.name for path in tmp_path.iterdir()} == {"hostile.tar.gz", "inner"}
    assert not list((tmp_path / "inner").iterdir())


def test_links_are_refused(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.tar.gz"
    with tarfile.open(hostile, "w:gz") as tar:
        link = tarfile.TarInfo("results/sweep.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(InputError, match="does not write"):
        merge_sources([hostile], tmp_path / "results")


def test_a_cut_archive_and_a_missing_one_are_one_sentence(tmp_path: Path) -> None:
    whole = archive(sweep(), tmp_path, "whole")
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(InputError, match="is not a whole archive"):
        merge_sources([whole], tmp_path / "results")
    with pytest.raises(InputError, match="does not exist"):
        merge_sources([tmp_path / "none.tar.gz"], tmp_path / "results")
