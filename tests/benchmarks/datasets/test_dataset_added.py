"""Tests that one file adds a dataset, with the example in CONTRIBUTING.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from benchmarks import datasets
from benchmarks.commands.run_command import make_run, show_data
from benchmarks.commands.run_options import RunOptions
from benchmarks.datasets.dataset import DataSource, MissingDataError
from benchmarks.datasets.image_dataset import ImageDataset
from benchmarks.records.errors import InputError
from benchmarks.specs import profiles
from benchmarks.specs.profiles import ProfileName
from benchmarks.specs.specification import specify
from models import registry
from sweeps.matrix import list_cells
from sweeps.sweep_status import show_matrix
from tests.narrowing import of_type

ROOT = Path(__file__).parents[3]
MODULE = "benchmarks.datasets.letters"


@pytest.fixture(autouse=True)
def _one_file_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Adds a folder with the example of CONTRIBUTING.md to the folders of the datasets."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (example,) = [block for block in blocks if "DATASET = " in block]
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "letters.py").write_text(example, encoding="utf-8")
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(folder)])
    datasets._declared.cache_clear()
    yield
    datasets._declared.cache_clear()
    sys.modules.pop(MODULE, None)


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    """Makes a data folder with small files of the dataset."""
    folder = tmp_path / "data" / "letters"
    folder.mkdir(parents=True)
    for name, samples in (("train", 200), ("test", 50)):
        images = np.random.default_rng(0).integers(0, 256, (samples, 20, 20), np.uint8)
        np.savez(folder / f"{name}.npz", images=images, labels=np.arange(samples) % 10)
    return DataSource(folder.parent)


def test_it_is_a_column_of_the_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert [variant for variant, dataset in list_cells() if dataset == "letters"] == list(
        registry.available()
    )
    show_matrix()
    heading, *rows = capsys.readouterr().out.splitlines()
    place = heading.index(" letters ")
    forms = [row[place:].split(maxsplit=1)[0] for row in rows[: len(registry.available())]]
    assert set(forms) == {"images", "moving"}


@pytest.mark.parametrize("variant", ["linear", "autoencoder", "copy-last"])
def test_a_smoke_run_of_each_task_is_complete(
    variant: str, source: DataSource, tmp_path: Path
) -> None:
    choice = RunOptions(profile=ProfileName.smoke, final=True, offline=True)
    record = make_run(variant, "letters", choice, data=source.root, results=tmp_path / "results")
    assert record.status == "complete", record.reason
    assert f"test/{record.metric}" in record.metrics


def test_without_checksums_it_is_unofficial_and_with_fewer_samples_partial(
    source: DataSource,
) -> None:
    letters = of_type(ImageDataset, datasets.find("letters"))
    whole = replace(letters, samples=(200, 50))
    budget = profiles.load_profile(ProfileName.smoke).budgets["classification"]
    for dataset, state in ((letters, "partial"), (whole, "unofficial")):
        info = dataset.describe("classification", budget=budget, source=source)
        assert (info.state, info.states) == (state, (state,))


@pytest.mark.parametrize("download", ["none", "all"])
@pytest.mark.parametrize("variant", ["linear", "copy-last"])
def test_without_its_files_a_sentence_says_which_go_where(
    variant: str, download: Literal["none", "all"], tmp_path: Path
) -> None:
    folder = re.escape(str(tmp_path / "letters"))
    with pytest.raises(MissingDataError, match=f"put train.npz, test.npz into {folder}") as caught:
        specify(
            variant, "letters", profile=ProfileName.smoke, source=DataSource(tmp_path, download)
        )
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_shown_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_data(profiles.load_profile(ProfileName.smoke), root=tmp_path, offline=True)
    printed = capsys.readouterr().out
    assert re.search(r"^letters +both +missing ", printed, re.MULTILINE)
    assert "train.npz" in printed, "the sentence may be wrapped"
    assert re.search(r"^usps +test +stand-in", printed, re.MULTILINE)


def test_a_task_that_a_dataset_is_not_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(datasets.find("letters"))
    monkeypatch.setattr(kind, "forms", {"classification": kind.forms["classification"]})
    assert ("linear", "letters") in list_cells()
    assert ("autoencoder", "letters") not in list_cells()
    with pytest.raises(InputError, match="is autoencoding, and letters is for classific"):
        specify("autoencoder", "letters", profile=ProfileName.smoke)


@pytest.mark.parametrize(
    ("written", "instead"), [('name="letters"', 'name="digits"'), ("column=5", "column=2 + 3")]
)
def test_a_name_or_column_that_cannot_be_read_is_refused(
    written: str, instead: str, tmp_path: Path
) -> None:
    path = tmp_path / "code" / "letters.py"
    path.write_text(path.read_text(encoding="utf-8").replace(written, instead))
    with pytest.raises(ValueError, match=r"letters\.py declares a dataset called"):
        datasets.find("letters")
