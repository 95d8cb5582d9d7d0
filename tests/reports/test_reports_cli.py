import subprocess
import sys

import pytest
from results_folder import sweep
from typer.testing import CliRunner

from reports.__main__ import app


def call(*arguments, columns=80):
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": str(columns)})


def test_build_writes_the_report_and_prints_the_leaderboard(tmp_path):
    files = sweep(variants=("capsnet-notebook", "linear"), datasets=("moving_mnist",))
    result = call("build", "--results", files.write(tmp_path), "--no-figures")
    assert result.exit_code == 0, result.output
    assert "classification: accuracy, higher is better (profile quick)" in result.output
    assert f"Report: {tmp_path / 'report'}" in result.output.replace("\n", "")
    assert (tmp_path / "report" / "tables" / "leaderboard.csv").is_file()
    assert not (tmp_path / "report" / "figures").exists()


def test_build_draws_figures_unless_told_not_to(tmp_path):
    files = sweep(variants=("linear",), datasets=("mnist",))
    assert call("build", "--results", files.write(tmp_path)).exit_code == 0
    assert (tmp_path / "report" / "figures" / "curves-linear-mnist-quick.svg").is_file()


@pytest.mark.parametrize("columns", [80, 120])
def test_show_fits_the_terminal_and_writes_nothing(tmp_path, columns):
    variants = ("capsnet-notebook", "linear", "[red]x[/red]")
    files = sweep(variants=variants, datasets=("moving_mnist", "mnist"))
    files.cells["linear-mnist-quick"]["finals"] = []
    for study in [name for name in files.cells if "/" in name]:
        plain = study.replace("/", "")
        files.cells[plain] = files.cells.pop(study) | {"study": plain}
    result = call("show", "--results", files.write(tmp_path), columns=columns)
    assert result.exit_code == 0, result.output
    *lines, path = result.output.splitlines()
    assert path.startswith("Report: ")
    assert max(map(len, lines)) <= columns
    assert any("moving_mnist" in line and "official" in line for line in lines)
    assert any("linear" in line and "no final" in line for line in lines)
    assert sum("[red]x[/red]" in line for line in lines) == 2
    assert not (tmp_path / "report").exists()


def test_failures_are_pointed_out(tmp_path):
    files = sweep()
    files.run("linear-mnist-quick", "trial", 0)["status"] = "failed"
    assert (
        "1 failure: see tables/failures.md"
        in call("show", "--results", files.write(tmp_path)).output
    )


@pytest.mark.parametrize("command", ["build", "show"])
def test_unreadable_results_are_one_sentence_and_exit_2(tmp_path, command):
    result = call(command, "--results", tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert str(tmp_path) in result.stderr


def test_a_report_that_cannot_be_written_is_told(tmp_path):
    (sweep().write(tmp_path) / "report").write_text("a file where a folder must be")
    result = call("build", "--results", tmp_path, "--no-figures")
    assert result.exit_code == 2
    assert "report" in result.stderr


def loaded_after(code):
    """The top-level modules that a fresh interpreter holds after `code`."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", f"{code}\n{show}"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


def test_reports_need_nothing_of_the_training_side():
    modules = loaded_after("import reports, reports.tables, reports.terminal, reports.figures")
    assert not modules & {"torch", "optuna", "wandb", "pytorch_lightning", "benchmarks", "models"}


def test_imports_are_light():
    assert not loaded_after("import reports, reports.__main__") & {"pandas", "numpy", "scipy"}
    assert not loaded_after("import reports.tables") & {"matplotlib", "seaborn"}
