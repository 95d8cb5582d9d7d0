"""Tests LaTeX tables, by pdflatex if it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from reports.build import build
from reports.formats import frame, latex, tex
from tests.reports.results_folder import sweep

EVIL = r"\input{/etc/passwd} $x^2_{1}$ 50% #1 & [a]* ~ -- <b> \end{document} 😀 שלום é"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes the LaTeX files of tables with hostile names."""
    root = tmp_path_factory.mktemp("built")
    files = sweep(variants=("cnn", EVIL), datasets=("mnist", "moving_mnist"))
    for number, study in enumerate([*files.cells]):
        files.cells[f"cell{number}"] = files.cells.pop(study) | {"study": f"cell{number}"}
    failed = files.run("cell2", "trial", 1)
    failed |= {"status": "failed", "reason": f"[{EVIL} \\"}
    build(files.write(root), only=["leaderboard", "failures", "runs", "ranks"], formats=["latex"])
    return root / "report" / "tables"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_the_tables_compile(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "tables")
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "tables.pdf").stat().st_size > 10_000


def test_rows_have_the_columns_of_their_head(built: Path) -> None:
    for path in built.glob("*.tex"):
        if path.name == "tables.tex":
            continue
        for table in path.read_text().split(r"\toprule")[1:]:
            rows = [line for line in table.splitlines() if line.endswith(r" \\")]
            separators = {line.replace(r"\&", "").count("&") for line in rows}
            assert len(separators) == 1, path.name
        assert r"\input" not in path.read_text().replace(r"\textbackslash{}input", "")


def test_the_best_is_bold_with_its_interval(built: Path) -> None:
    text = (built / "leaderboard.tex").read_text()
    assert r"\mathbf{" in text
    assert text.count(r"^{\ast}") == 2  # of another dataset, on which both may be best


PAPER = r"""\documentclass[%s]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{textcomp,booktabs}
\begin{document}
\section{Methods}
\input{methods.tex}
See Table~\ref{tab:classification-quick}.
\input{leaderboard.tex}
\end{document}
"""


@pytest.fixture(scope="module")
def papers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes the LaTeX files of two tasks with all datasets, wide figures and odd names."""
    root = tmp_path_factory.mktemp("paper")
    datasets = ("mnist", "moving_mnist", "usps", "cifar10", "svhn")
    names = ("capsule-transformer", "capsnet-notebook", "cnn", "tlb-keras", EVIL)
    files = sweep(variants=(*names, *(f"v{n}" for n in range(12))), datasets=datasets)
    files.add(sweep(variants=("convlstm", "copy-last"), datasets=datasets, task="prediction"))
    for number, study in enumerate([*files.cells]):
        files.cells[f"cell{number}"] = files.cells.pop(study) | {"study": f"cell{number}"}
    for run in files.records.values():
        if "test/mse" in run["metrics"]:
            run["metrics"]["test/mse"] *= 1000.001
    build(files.write(root), only=["leaderboard"], formats=["latex"])
    return root / "report" / "tables"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn", "twocolumn,a4paper"])
def test_the_leaderboard_fits_a_paper(papers_folder: Path, tmp_path: Path, columns: str) -> None:
    folder = shutil.copytree(papers_folder, tmp_path / "tables")
    (folder / "paper.tex").write_text(PAPER % columns)
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for _ in ("labels", "references"):
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    log = (folder / "paper.log").read_text(errors="replace")
    for complaint in ("Overfull", "Float too large", "undefined", "multiply defined"):
        assert complaint not in log, log[log.index(complaint) :][:500]


def test_the_leaderboard_is_ready_for_a_paper(papers_folder: Path) -> None:
    text = (papers_folder / "leaderboard.tex").read_text()
    assert r"\begin{table*}" in text
    assert r"{\scriptsize accuracy}" in text
    assert r"{\scriptsize \% $\uparrow$}" in text
    assert r"{\scriptsize $\downarrow$}" in text
    assert r"\label{tab:classification-quick}" in text
    assert r"\label{tab:classification-quick-2}" in text  # too many variants for one
    assert r"\caption{Classification, profile quick, part 1 of 2: mean test score over" in text
    assert "Test samples: 2,000. Data: official." in text
    methods = (papers_folder / "methods.tex").read_text()
    assert methods.count("\n") == 1
    for said in ("code version 0123456789ab", "the best of 4 trials", "Hsu 1984"):
        assert said in methods


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a_b & 5%", r"a\_b \& 5\%"),
        ("\\x{}", r"\textbackslash{}x\{\}"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("[1]*", "{[}1{]}{*}"),
        ("😀 é", r"\texttt{U+1F600} é"),
    ],
)
def test_tex(text: str, printed: str) -> None:
    assert tex(text) == printed


def test_gaps_stay_empty() -> None:
    table = frame({"text": "str", "n": "Int64", "x": "float64"}, [("a", None, float("nan"))])
    assert r"a &  &  \\" in latex(table)


def test_long_words_may_break() -> None:
    table = frame({"digest": "str"}, [("ab" * 32,), ("a_b " * 10,)])
    rows = [line for line in latex(table).splitlines() if line.endswith(r" \\")][1:]
    assert rows[0].count(r"\allowbreak{}") == 3
    assert rows[0].replace(r"\allowbreak{}", "") == "ab" * 32 + r" \\"
    assert rows[1] == " ".join([r"a\_b"] * 10) + r" \\"
