"""Tests the class `Report`: its text, filters, comparisons and figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.records.errors import InputError
from reports import Report, load
from tests.reports.results_folder import sweep


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = sweep(variants=("capsnet", "capsnet-notebook", "cnn"))
    files.add(sweep(variants=("tlb",), datasets=("mnist",), task="prediction"))
    return files.write(tmp_path_factory.mktemp("results"))


def test_it_says_what_is_in_it(root: Path) -> None:
    report = load(root)
    assert isinstance(report, Report)
    text = repr(report)
    for said in (str(root), "7 cells", "49 runs", "quick", "mnist, usps", "capsnet-notebook"):
        assert said in text


@pytest.mark.parametrize(
    ("filters", "variants"),
    [
        ({"variant": "capsnet"}, {"capsnet"}),
        ({"variant": "caps*"}, {"capsnet", "capsnet-notebook"}),
        ({"variant": ["cnn", "*notebook"]}, {"cnn", "capsnet-notebook"}),
        ({"dataset": "usps"}, {"capsnet", "capsnet-notebook", "cnn"}),
        ({"task": "prediction", "profile": "quick"}, {"tlb"}),
    ],
)
def test_filters_keep_rows_by_name_and_pattern(
    root: Path, filters: dict[str, list[str]] | dict[str, str], variants: set[str]
) -> None:
    for table in ("scores", "leaderboard", "costs", "runs", "trials", "metrics"):
        found = getattr(load(root), table)(**filters)
        floors = {name for name in found["variant"] if name.startswith("floor:")}
        assert set(found["variant"]) - floors == variants


def test_filters_change_no_figure(root: Path) -> None:
    board = load(root).leaderboard()
    one = load(root).leaderboard(variant="cnn")
    expected = board[board["variant"] == "cnn"].reset_index(drop=True)
    assert one.equals(expected)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"variant": "capsent"}, "there is no variant 'capsent': did you mean 'capsnet'? Known: c"),
        ({"dataset": "minst"}, "there is no dataset 'minst': did you mean 'mnist'? Known: mnist, "),
        ({"profile": "quik*"}, "there is no profile 'quik*': did you mean 'quick'? Known: quick"),
        (
            {"seed": "1"},
            "no table has a filter 'seed': choose one of task, variant, dataset, profile",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    root: Path, filters: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError) as error:
        load(root).scores(**filters)
    assert str(error.value).startswith(said)


def test_a_filter_that_a_table_lacks_is_named(root: Path) -> None:
    with pytest.raises(InputError, match="no column 'variant'"):
        load(root).data(variant="cnn")
    with pytest.raises(InputError, match="did you mean 'scores'"):
        load(root).table("score")


def test_the_matrix_keeps_datasets(root: Path) -> None:
    report = load(root)
    assert list(report.matrix()) == ["mnist", "usps"]
    assert report.matrix().index.names == ["task", "profile", "variant"]
    assert list(report.matrix(dataset="us*")) == ["usps"]
    assert len(report.matrix(dataset="usps")) == 3


def test_trials_of_a_study_have_parameters_as_columns(root: Path) -> None:
    table = load(root).trials("cnn-usps-quick")
    assert list(table["number"]) == [0, 1, 2, 3]
    assert "params_learning_rate" in table
    with pytest.raises(InputError, match="did you mean 'cnn-usps-quick'"):
        load(root).trials("cnn-usps-quik")


def test_reports_are_compared(root: Path, tmp_path: Path) -> None:
    other = sweep(variants=("cnn", "vit"), datasets=("mnist",)).write(tmp_path)
    table = load(root).compare(load(other))
    assert table.equals(load(root).compare(other))
    verdicts = dict(zip(table["variant"] + table["dataset"], table["verdict"], strict=True))
    assert verdicts["cnnmnist"] == "equal"
    assert verdicts["vitmnist"] == "only in B"
    assert list(load(root).compare(other, variant="vit")["variant"]) == ["vit"]


def test_figures_are_drawn_on_given_axes(root: Path) -> None:
    report = load(root)
    one, two, three = Figure().subplots(1, 3)
    assert report.plot_scores("usps", ax=one) is one
    names = {label.get_text() for label in one.get_yticklabels()}
    assert names == {"capsnet", "capsnet-notebook", "cnn"}
    report.plot_curves("mnist", "train/loss", task="classification", ax=two)
    assert len(two.get_lines()) == 3
    report.plot_matrix(task="classification", ax=three)
    assert len(three.texts) == 6


def test_a_figure_shows_one_task(root: Path) -> None:
    with pytest.raises(
        InputError, match=r"choose one of mnist, classification, quick; mnist, pred"
    ):
        load(root).plot_scores("mnist", ax=Figure().subplots())
    with pytest.raises(InputError, match=r"choose one of classification, quick; prediction, quick"):
        load(root).plot_matrix(ax=Figure().subplots())
