"""Tests the site of several sweeps: it is complete without a network, and hostile names are
harmless.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.records.archive import unpack
from benchmarks.records.errors import InputError
from reports.build import build
from reports.results import read_results
from reports.site import add_to_site
from tests.reports.results_folder import sweep


def added(folder: Path, name: str, site: Path, title: str | None = None) -> Path:
    results = sweep(variants=("linear",), datasets=("mnist",)).write(folder / name)
    return add_to_site(build(results), site, title)


def test_a_site_has_each_sweep_with_page_tables_and_records(tmp_path: Path) -> None:
    for name in ("one", "two", "two"):  # the second time it is replaced
        index = added(tmp_path, name, tmp_path / "site")
    text = index.read_text()
    links = re.findall(r'href="([^"]+)"', text)
    assert {"one/index.html", "two/index.html", "one/tables/scores.csv"} <= {*links}
    assert all((index.parent / link).is_file() for link in links)
    assert "http" not in re.sub(r"<meta[^>]*>", "", text), (
        "the page requests nothing from the network"
    )
    (tmp_path / "unpacked").mkdir()
    unpack(tmp_path / "site/one/one.tar.gz", tmp_path / "unpacked")
    assert read_results(tmp_path / "unpacked").cells == read_results(tmp_path / "one").cells


def test_a_sites_texts_are_no_html(tmp_path: Path) -> None:
    index = added(tmp_path, "one", tmp_path / "site")
    about = index.parent / "one" / "about.json"
    known = json.loads(about.read_bytes())
    about.write_text(json.dumps(known | {"datasets": ["<script>alert(1)</script>"]}))
    added(tmp_path, "two", tmp_path / "site")
    assert "<script" not in index.read_text()


@pytest.mark.parametrize("title", ["../up", "", "a/b", ".hidden", "x" * 81])
def test_an_impossible_name_is_one_sentence(tmp_path: Path, title: str) -> None:
    with pytest.raises(InputError, match="cannot name a sweep"):
        added(tmp_path, "one", tmp_path / "site", title)
    assert not (tmp_path / "site").exists()


def test_a_folder_that_is_no_sweep_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "site" / "one"
    other.mkdir(parents=True)
    (other / "tables").mkdir()
    (other / "tables" / "mine.csv").write_text("mine")
    with pytest.raises(InputError, match="is not a sweep of a site"):
        added(tmp_path, "one", tmp_path / "site")
    assert (other / "tables" / "mine.csv").read_text() == "mine"
