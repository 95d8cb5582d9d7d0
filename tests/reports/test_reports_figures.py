import math
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import Image
from results_folder import sweep

from reports.figures import write_figures
from reports.records import load


def drawn(files, root):
    write_figures(load(files.write(root)), root / "figures")
    return {path.name: path.read_bytes() for path in (root / "figures").iterdir()}


def test_each_cell_and_each_dataset_has_its_figures(tmp_path):
    figures = drawn(sweep(variants=("cnn", "linear"), datasets=("mnist",)), tmp_path)
    names = ["comparison-mnist-classification-quick", "curves-cnn-mnist-quick"]
    names.append("curves-linear-mnist-quick")
    assert sorted(figures) == [f"{name}.{suffix}" for name in names for suffix in ("png", "svg")]
    for name in names:
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert image.convert("L").getextrema()[0] < 100  # something is drawn
        ElementTree.fromstring(figures[f"{name}.svg"])


def test_equal_results_give_equal_figures(tmp_path):
    files = sweep(variants=("cnn",), datasets=("mnist",))
    assert drawn(files, tmp_path / "a") == drawn(files, tmp_path / "b")


def test_drawing_leaves_the_style_as_it_was(tmp_path):
    before = dict(mpl.rcParams)
    drawn(sweep(variants=("cnn",), datasets=("mnist",)), tmp_path)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("value", [math.nan, math.inf, None, 1e30])
def test_trials_that_diverged(tmp_path, value):
    files = sweep(variants=("cnn",), datasets=("mnist",), trials=2)
    for line in files.curves[files.run("cnn-mnist-quick", "trial", 1)["run_id"]]:
        line["metrics"]["validation/accuracy"] = value
    assert "curves-cnn-mnist-quick.png" in drawn(files, tmp_path)


def test_a_variant_that_is_not_trained_has_no_curve(tmp_path):
    files = sweep(variants=("copy-last",), datasets=("mnist",), task="prediction", epochs=0)
    assert sorted(drawn(files, tmp_path)) == [
        "comparison-mnist-prediction-quick.png",
        "comparison-mnist-prediction-quick.svg",
    ]


@pytest.mark.parametrize("finals", [0, 1])
def test_partial_cells_and_hostile_names(tmp_path, finals):
    files = sweep(variants=("$\\frac{|x|",), datasets=("a/../b $^$",), epochs=1, finals=finals)
    (study,) = files.cells
    files.cells["odd"] = files.cells.pop(study) | {"study": "odd"}
    assert sorted(drawn(files, tmp_path)) == [
        "comparison-a_.._b____-classification-quick.png",
        "comparison-a_.._b____-classification-quick.svg",
        "curves-odd.png",
        "curves-odd.svg",
    ]
