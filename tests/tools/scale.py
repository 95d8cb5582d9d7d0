"""Measures how long reports take, with a results folder of any size.

    python -m tests.tools.scale --runs 10000 --epochs 100

prints seconds, processor seconds and peak memory of three builds: the first, one without a change,
and one after a run has changed. It also prints the size of the page, and how long Chromium takes to
open it.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reports.results_folder import sweep

DATASETS = ("cifar10", "mnist", "moving_mnist", "svhn", "usps")
VARIANTS = 20


def write_results(root: Path, runs: int, epochs: int) -> Path:
    """Writes a folder of 20 variants on 5 datasets with `runs` runs, 3 of each cell finals."""
    cells = VARIANTS * len(DATASETS)
    trials = max(1, runs // cells - 3)
    for number in range(VARIANTS):  # a variant at a time, so that little is in memory
        sweep(
            variants=(f"variant-{number:02}",),
            datasets=DATASETS,
            task="prediction" if number % 3 == 0 else "classification",
            trials=trials,
            epochs=epochs,
        ).write(root)
    return root


def measure(root: Path, what: str) -> None:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call = [sys.executable, "-m", "reports", "build", "--results", str(root)]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # The peak is of the largest build so far.
    peak = after.ru_maxrss / 1024
    print(f"{what}: {seconds:.1f} s, processor {processor:.1f} s, peak so far {peak:.0f} MB")


def opening(page: Path) -> str:
    """Measures the seconds until the page is loaded and drawn; or returns why they were not
    measured.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not measured: Playwright is not installed"
    if chromium is None:
        return "not measured: Chromium is not installed"
    drawn = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        started = time.perf_counter()
        tab.goto(page.as_uri())
        tab.evaluate(drawn)
        seconds = time.perf_counter() - started
        browser.close()
    return f"{seconds:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="make the folder here, and leave it")
    options = parser.parse_args()
    root = options.keep or Path(tempfile.mkdtemp())
    try:
        write_results(root, options.runs, options.epochs)
        measure(root, "first build")
        measure(root, "nothing changed")
        record = min((root / "runs").glob("*/record.json"))
        record.write_text(record.read_text() + "\n")
        measure(root, "one run changed")
        page = root.absolute() / "report" / "index.html"
        print(f"page: {page.stat().st_size / 1e6:.1f} MB, opened in {opening(page)}")
    finally:
        if not options.keep:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
