from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from reports.figures import begin_figures, drawings
from reports.results import read_results
from tests.reports.results_folder import Files, sweep


def drawn(files: Files, root: Path) -> dict[str, bytes]:
    begin_figures(drawings(read_results(files.write(root))), root / "figures")()
    return {
        path.name: path.read_bytes()
        for path in (root / "figures").iterdir()
        if path.suffix != ".json"
    }


def test_each_cell_and_each_dataset_has_its_figures(tmp_path: Path) -> None:
    figures = drawn(sweep(variants=("cnn", "linear"), datasets=("mnist",)), tmp_path)
    names = [f"{kind}-classification-mnist-quick" for kind in ("comparison", "costs", "curves")]
    assert sorted(figures) == [f"{name}.{suffix}" for name in names for suffix in ("png", "svg")]
    for name in names:
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).min() < 100  # something is drawn
        ElementTree.fromstring(figures[f"{name}.svg"])


def test_equal_results_give_equal_figures(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    assert drawn(files, tmp_path / "a") == drawn(files, tmp_path / "b")


def test_pdf_is_drawn_where_it_is_asked_for_and_is_the_same_each_time(tmp_path: Path) -> None:
    figures = drawings(read_results(sweep(variants=("cnn",), datasets=("mnist",)).write(tmp_path)))
    for name in ("a", "b"):
        begin_figures(figures[:1], tmp_path / name, ["pdf"])()
    first, second = (next((tmp_path / name).glob("*.pdf")).read_bytes() for name in ("a", "b"))
    assert first.startswith(b"%PDF")
    assert first == second


def test_drawing_leaves_the_style_as_it_was(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    drawn(sweep(variants=("cnn",), datasets=("mnist",)), tmp_path)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("value", [math.nan, math.inf, None, 1e30])
def test_finals_that_diverged(tmp_path: Path, value: float | None) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    for line in files.curves[files.run("cnn-mnist-quick", "final", 1)["run_id"]]:
        line["metrics"]["validation/accuracy"] = value
    assert "curves-classification-mnist-quick.png" in drawn(files, tmp_path)


def test_a_variant_that_is_not_trained_has_no_curve(tmp_path: Path) -> None:
    files = sweep(variants=("copy-last",), datasets=("mnist",), task="prediction", epochs=0)
    assert sorted(drawn(files, tmp_path)) == [
        "comparison-prediction-mnist-quick.png",
        "comparison-prediction-mnist-quick.svg",
    ]


@pytest.mark.parametrize("finals", [0, 1])
def test_partial_cells_and_hostile_names(tmp_path: Path, finals: int) -> None:
    files = sweep(variants=("$\\frac{|x|", "<script>😀"), datasets=("a/../b $^$",), finals=finals)
    for number, study in enumerate([*files.cells]):
        files.cells[f"odd{number}"] = files.cells.pop(study) | {"study": f"odd{number}"}
    names = drawn(files, tmp_path)
    kinds = {name.partition("-")[0] for name in names}
    assert kinds == ({"comparison", "costs", "curves"} if finals else {"comparison"})
    assert not any("/" in name or " " in name for name in names)
    for name, content in names.items():
        if name.endswith(".svg"):
            assert b"<script" not in content
            ElementTree.fromstring(content)


def test_ranks_are_drawn_only_where_they_could_tell_anything(tmp_path: Path) -> None:
    many = [f"variant{number}" for number in range(6)]
    two = sweep(variants=many, datasets=("mnist", "usps"), trials=1)
    assert not [name for name in drawn(two, tmp_path / "two") if name.startswith("ranks")]
    five = sweep(variants=many[:3], datasets=tuple("abcde"), trials=1)
    assert "ranks-classification-quick.svg" in drawn(five, tmp_path / "five")


def test_only_what_changed_is_drawn_again(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist", "usps"))
    before = drawn(files, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "figures").glob("*.svg")}
    record = files.run("cnn-mnist-quick", "final", 0)
    record["metrics"]["test/accuracy"] = 0.123456
    (tmp_path / "runs" / record["run_id"] / "record.json").write_text(json.dumps(record))
    begin_figures(drawings(read_results(tmp_path)), tmp_path / "figures")()
    after = {path.name: path.read_bytes() for path in times}
    again = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert again == {
        f"{kind}-classification-mnist-quick.svg" for kind in ("comparison", "costs", "curves")
    }
    assert (
        before["comparison-classification-mnist-quick.svg"]
        != (after["comparison-classification-mnist-quick.svg"])
    )


def test_figures_of_other_results_go(tmp_path: Path) -> None:
    drawn(sweep(variants=("cnn",), datasets=("mnist", "usps")), tmp_path)
    files = sweep(variants=("cnn",), datasets=("mnist",))
    (tmp_path / "cells" / "cnn-usps-quick.json").unlink()
    assert not [name for name in drawn(files, tmp_path) if "usps" in name]


@pytest.mark.parametrize("content", ["torn {", "[]", json.dumps({"x": 1})])
def test_damaged_notes_on_what_is_drawn_cost_a_drawing(tmp_path: Path, content: str) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",), epochs=1)
    before = drawn(files, tmp_path)
    (tmp_path / "figures" / "drawn.json").write_text(content)
    assert drawn(files, tmp_path) == before


@pytest.mark.parametrize(("loss", "wide"), [(1e8, True), (1.0, False)])
def test_losses_of_different_size_are_all_seen(tmp_path: Path, loss: float, wide: bool) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=("mnist",))
    for number in range(3):
        for line in files.curves[files.run("cnn-mnist-quick", "final", number)["run_id"]]:
            line["metrics"]["train/loss"] = loss
        for line in files.curves[files.run("linear-mnist-quick", "final", number)["run_id"]]:
            line["metrics"]["train/loss"] = 0.5
    figure = drawn(files, tmp_path)["curves-classification-mnist-quick.svg"].decode()
    assert (">1e+08<" in figure) == wide
