from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from reports.__main__ import app
from reports.build import build
from reports.formats import readable
from reports.results import read_results
from reports.terminal_tables import show_tables
from tests.reports.results_folder import sweep
from tests.reports.test_reports_data_tables import with_single_run


def call(*arguments: object, columns: int = 80) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": str(columns)})


def test_build_writes_the_report_and_prints_the_leaderboard(tmp_path: Path) -> None:
    files = sweep(variants=("capsnet-notebook", "linear"), datasets=("moving_mnist",))
    result = call("build", "--results", files.write(tmp_path))
    assert result.exit_code == 0, result.output
    assert "classification (profile quick)" in result.output
    assert f"Report: {tmp_path / 'report' / 'index.html'}" in result.output.replace("\n", "")
    assert (tmp_path / "report" / "tables" / "leaderboard.csv").is_file()
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("asked", "files"),
    [
        (["--only", "data"], ["data.csv", "data.md", "data.parquet", "data.tex", "tables.tex"]),
        (["--only", "data", "--only", "costs", "--format", "csv"], ["costs.csv", "data.csv"]),
        (["--only", "data", "--format", "parquet"], ["data.parquet"]),
    ],
)
def test_build_writes_what_is_asked_for(tmp_path: Path, asked: list[str], files: list[str]) -> None:
    assert call("build", "--results", sweep().write(tmp_path), *asked).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "report" / "tables").iterdir()) == files
    assert not (tmp_path / "report" / "figures").exists()
    assert not (tmp_path / "report" / "index.html").exists()


def test_build_draws_one_format_where_asked(tmp_path: Path) -> None:
    files = sweep(variants=("linear",), datasets=("mnist",))
    options = ("--only", "figures", "--format", "png")
    assert call("build", "--results", files.write(tmp_path), *options).exit_code == 0
    suffixes = {path.suffix for path in (tmp_path / "report" / "figures").iterdir()}
    assert suffixes == {".png", ".json"}
    assert not (tmp_path / "report" / "tables").exists()


@pytest.mark.parametrize("wrong", [("build", "--only"), ("build", "--format"), ("show", "--table")])
def test_an_unknown_name_is_refused_with_all_known_names(
    tmp_path: Path, wrong: tuple[str, str]
) -> None:
    command, option = wrong
    result = call(command, "--results", sweep().write(tmp_path), option, "leaderbord")
    assert result.exit_code == 2
    assert "leaderbord" in result.stderr
    assert "csv" in result.stderr or "leaderboard" in result.stderr


def test_show_prints_tables_by_name(tmp_path: Path) -> None:
    files = sweep(variants=("[b]cnn",), datasets=("mnist",))
    files.cells["odd"] = files.cells.pop("[b]cnn-mnist-quick") | {"study": "odd"}
    result = call("show", "--results", files.write(tmp_path), "--table", "best_params")
    assert "learning_rate" in result.output
    assert "[b]cnn" in result.output
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("width", [60, 200])
def test_a_terminal_gets_few_rows_and_the_place_of_the_others(tmp_path: Path, width: int) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=tuple("abcdefghij"), trials=1, finals=1)
    results = read_results(files.write(tmp_path))
    screen = Console(force_terminal=True, width=width, record=True, file=StringIO())
    show_tables(results, ["best_params"], screen)
    lines = screen.export_text().splitlines()
    assert len(lines) <= 50
    path = tmp_path / "report" / "tables" / "best_params.csv"
    if width == 200:
        assert lines[-1].startswith("… 20 more rows: `capsbench report --results ")
    assert lines[-1].endswith(f"writes all to {path}")
    build(tmp_path, ["best_params"], ["csv"])
    screen = Console(force_terminal=True, width=width, record=True, file=StringIO())
    show_tables(results, ["best_params"], screen)
    assert screen.export_text().splitlines()[-1].endswith(f": all are in {path}")


def test_a_pipe_gets_all_rows(tmp_path: Path) -> None:
    files = sweep(variants=("cnn", "linear"), datasets=tuple("abcdefghij"), trials=1, finals=1)
    result = call("show", "--results", files.write(tmp_path), "--table", "best_params", columns=200)
    assert result.output.count("learning_rate") == 20
    assert "more row" not in result.output


def test_compare_prints_what_changed(tmp_path: Path) -> None:
    a, b = sweep(variants=("cnn",), datasets=("mnist",)), sweep(variants=("cnn",))
    for number in range(3):
        b.run("cnn-mnist-quick", "final", number)["metrics"]["test/accuracy"] += 0.03
    folders = a.write(tmp_path / "a"), b.write(tmp_path / "b")
    result = call("compare", *folders, columns=120)
    assert result.exit_code == 0, result.output
    mnist, usps = (line for line in result.output.splitlines() if "cnn" in line)
    assert "better" in mnist
    assert "only in B" in usps
    lines = call("compare", *folders, "--csv").output.splitlines()
    assert lines[0].startswith("task,dataset,variant")
    assert len(lines) == 3


@pytest.mark.parametrize("columns", [80, 120])
def test_show_fits_the_terminal_and_writes_nothing(tmp_path: Path, columns: int) -> None:
    variants = ("capsnet-notebook", "linear", "[red]x[/red]")
    files = sweep(variants=variants, datasets=("moving_mnist", "mnist"))
    files.cells["linear-mnist-quick"]["finals"] = []
    for study in [name for name in files.cells if "/" in name]:
        plain = study.replace("/", "")
        files.cells[plain] = files.cells.pop(study) | {"study": plain}
    result = call("show", "--results", files.write(tmp_path), columns=columns)
    assert result.exit_code == 0, result.output
    *lines, path = result.output.splitlines()
    assert path == f"Report: `capsbench report --results {tmp_path}` writes one"
    assert max(map(len, lines)) <= columns
    assert any("moving_mnist" in line for line in lines)
    assert any("official" in line for line in lines)
    assert any("linear" in line and "no final" in line for line in lines)
    assert sum("[red]x[/red]" in line for line in lines) == 2
    assert not (tmp_path / "report").exists()


def test_show_lists_single_runs_beside_the_sweeps(tmp_path: Path) -> None:
    files = sweep(variants=("cnn",), datasets=("mnist",))
    record = with_single_run(files)
    score = readable(record["metrics"]["validation/accuracy"])
    result = call("show", "--results", files.write(tmp_path / "both"))
    assert "classification (profile quick)" in result.output
    after = result.output.partition("single runs")[2].splitlines()
    (row,) = [line for line in after if record["run_id"] in line]
    assert row.split() == [record["run_id"], "accuracy", score]
    record["status"] = "pruned"
    files.cells = {}
    files.records = {record["run_id"]: record}
    alone = call("show", "--results", files.write(tmp_path / "alone"))
    assert alone.exit_code == 0, alone.output
    assert alone.output.lstrip().startswith("single runs")
    assert "pruned" in alone.output


def test_failures_are_pointed_out(tmp_path: Path) -> None:
    files = sweep()
    files.run("linear-mnist-quick", "trial", 0)["status"] = "failed"
    printed = f"1 failure: see `capsbench show --results {tmp_path} --table failures`"
    assert printed in call("show", "--results", files.write(tmp_path)).output
    assert "trial" in call("show", "--results", tmp_path, "--table", "failures").output


@pytest.mark.parametrize("command", ["build", "show"])
def test_unreadable_results_are_one_sentence_and_exit_2(tmp_path: Path, command: str) -> None:
    result = call(command, "--results", tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr


def test_a_report_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (sweep().write(tmp_path) / "report").write_text("a file where a folder must be")
    result = call("build", "--results", tmp_path)
    assert result.exit_code == 2
    assert "report" in result.stderr


def loaded_after(code: str) -> set[str]:
    """Lists the top-level modules that a fresh interpreter has imported after `code`."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", f"{code}\n{show}"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


def test_reports_need_nothing_of_the_training_side() -> None:
    modules = loaded_after(
        "import reports.build, reports.terminal_tables, reports.figures, reports.page"
    )
    assert not modules & {"torch", "optuna", "wandb", "pytorch_lightning", "models", "sweeps"}


def test_imports_are_light() -> None:
    assert not loaded_after("import reports, reports.__main__") & {"pandas", "numpy", "scipy"}
    assert not loaded_after("import reports.build, reports.figures") & {"matplotlib", "seaborn"}


def test_compare_fits_the_terminal_and_keeps_names_whole(tmp_path: Path) -> None:
    variants = ("capsule-transformer", "linear")
    a = sweep(variants=variants, datasets=("moving_mnist",))
    b = sweep(variants=variants, datasets=("moving_mnist",))
    for name in variants:
        for number in range(3):
            record = b.run(f"{name}-moving_mnist-quick", "final", number)
            record["metrics"]["test/accuracy"] -= 0.01 * number
            record["provenance"]["code_version"] = "another"
    result = call("compare", a.write(tmp_path / "a"), b.write(tmp_path / "b"), columns=80)
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if "capsule-transformer" in line)
    assert "moving_mnist" in row
    assert "unclear" in row
    assert result.output.count("(other") == 2


@pytest.mark.parametrize(("line", "written"), [(b"build\n", True), (b"", False)])
def test_a_prepared_report_waits_for_a_line(tmp_path: Path, line: bytes, written: bool) -> None:
    """Writes nothing if the sweep ends without a line."""
    sweep(datasets=("mnist",)).write(tmp_path)
    command = ["-m", "reports.build_on_request", "build", "--results", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], input=line, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (b"Report: " in done.stdout) == written
    assert (tmp_path / "report" / "index.html").exists() == written
