"""Tests the page in a browser; skipped if Chromium or Playwright is missing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from PIL import Image

from reports.build import build
from tests.reports.results_folder import Files, sweep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, FloatRect, Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e{{ 7 * 7 }}"


def hostile(files: Files) -> Files:
    """Replaces each text of a cell by an attack."""
    study = "evil"
    files.cells[study] = files.cells.pop(f"{HOSTILE}-mnist-quick") | {"study": study}
    files.cells[study]["reason"] = HOSTILE
    record = files.run(study, "final", 0)
    record["metrics"][f"test/{HOSTILE}"] = 1.0
    record["provenance"]["versions"][HOSTILE] = HOSTILE
    files.run(study, "trial", 1).update(status="failed", reason=HOSTILE * 200)
    best = files.run(study, "trial", 0)["spec"]["hyperparameters"]
    best |= {HOSTILE: HOSTILE, "شبكة": "عصبية", "😀": "=1+1", "long": "x" * 10_000}
    return files


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the report of a folder with pictures, a hostile cell and an unfinished one."""
    root = tmp_path_factory.mktemp("results") / "a folder"
    names = ("cnn", "linear", "capsnet", HOSTILE)
    files = hostile(sweep(variants=names, datasets=("mnist",)))
    usps = sweep(variants=names[:3], datasets=("usps",))
    files.add(usps)
    files.add(sweep(variants=("cnn", "linear"), datasets=("cifar10", "moving_mnist", "svhn")))
    files.add(sweep(variants=("convlstm", "tlb-frames"), datasets=("mnist",), task="prediction"))
    files.cells["cnn-usps-quick"]["finals"] = []
    for dataset in ("mnist", "usps"):
        for number in range(3):
            record = files.run(f"capsnet-{dataset}-quick", "final", number)
            record["metrics"]["test/accuracy"] = 0.1 + number / 1000
    files.cells["linear-mnist-quick"]["importance"] = {"learning_rate": 0.2, "routing": 0.8}
    files.cells["linear-mnist-quick"]["states"] = {"complete": 20}
    for number in range(3):
        files.run("linear-usps-quick", "final", number)["provenance"]["data"]["state"] = "stand-in"
    files.cells["capsnet-mnist-quick"] |= {"cost": "parameters", "epochs": {"had": 1, "saved": 7}}
    files.write(root)
    pixels = Image.fromarray(np.zeros((20, 20), np.uint8))
    for study in ("cnn-mnist-quick", "linear-mnist-quick"):
        run = root / "runs" / files.cells[study]["finals"][0]
        (run / "wandb").mkdir()
        pixels.save(run / "reconstructions.png")
    broken = root / "runs" / files.cells["capsnet-mnist-quick"]["finals"][0]
    (broken / "reconstructions.png").write_bytes(b"no picture")
    build(root)
    return root / "report"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """Opens the page from disk; fails the test on any error, dialog or request elsewhere."""
    found: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        found.append(dialog.message)
        dialog.dismiss()

    context = browser.new_context(viewport={"width": 1280, "height": 844})
    tab = context.new_page()
    tab.on("console", lambda message: found.append(message.text))
    tab.on("pageerror", lambda error: found.append(str(error)))
    tab.on("dialog", dismissed)
    tab.on(
        "request",
        lambda request: (
            found.append(request.url) if not request.url.startswith(("file:", "data:")) else None
        ),
    )
    tab.goto((report / "index.html").as_uri())
    yield tab
    context.close()
    assert found == []


def address(page: Page) -> dict[str, str]:
    """Returns the state that the address of the page holds, as a mapping."""
    return dict(part.split("=") for part in page.url.partition("#")[2].split("&") if part)


def cell(page: Page, study: str) -> Locator:
    """Returns the button of a cell of the matrix."""
    return page.locator(f"#matrix-table button[data-cell='{study}']")


def box_of(element: Locator) -> FloatRect:
    """Returns where an element is seen, in pixels."""
    box = element.bounding_box()
    assert box is not None
    return box


def attribute(element: Locator, name: str) -> str:
    """Returns an attribute that an element must have."""
    value = element.get_attribute(name)
    assert value is not None
    return value


def variants(page: Page, task: str) -> list[str]:
    return page.locator(f"[data-task={task}] tr[data-variant]").evaluate_all(
        "rows => rows.map((row) => row.dataset.variant)"
    )


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.wait_for_timeout(100)  # sections are drawn on the event that follows


def pages(pdf: bytes) -> int:
    return pdf.count(b"/Type /Page") - pdf.count(b"/Type /Pages")


def serious(page: Page) -> list[tuple[str, str]]:
    """Lists the serious faults of accessibility that axe finds."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    return [
        (violation["id"], violation["nodes"][0]["html"][:200])
        for violation in axe.Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def test_one_matrix_has_all_tasks_with_rows_by_mean_place(page: Page) -> None:
    assert variants(page, "classification")[0] == "cnn"
    assert variants(page, "classification")[-1] == "capsnet"
    assert set(variants(page, "prediction")) == {"convlstm", "tlb-frames"}
    apart = page.locator("#matrix-table [data-task=prediction] .apart").all_inner_texts()
    assert [row.split("\t")[0] for row in apart] == ["best trivial answer", "best published"]
    assert "400 last frame" in apart[0]


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("score", r"\d\d\.\d"),
        ("behind", r"\d+\.\d"),
        ("published", r"\d\d\.\d of 99\.75 %"),
        ("seconds", r"5 s"),
        ("parameters", r"8\.22 M"),
    ],
)
def test_a_view_is_kept_in_the_address(page: Page, view: str, shown: str) -> None:
    page.locator(f"input[name=view][value={view}]").check()
    assert address(page).get("view", "score") == view
    assert re.fullmatch(shown, cell(page, "capsnet-mnist-quick").inner_text())
    page.reload()
    assert page.locator(f"input[name=view][value={view}]").is_checked()
    assert re.fullmatch(shown, cell(page, "capsnet-mnist-quick").inner_text())


def test_heads_and_legend_follow_the_view(page: Page) -> None:
    head = page.locator("#matrix-table [data-task=classification] .board td").first
    assert head.inner_text() == "accuracy, % ↑\n2,000 of 10,000"
    assert "95 % interval" in page.locator("#matrix .legend").inner_text()
    page.locator("input[name=view][value=seconds]").check()
    assert head.inner_text() == "time of a run ↓"
    assert "95 % interval" not in page.locator("#matrix .legend").inner_text()


def test_a_variants_name_leads_to_its_line_in_the_glossary(page: Page) -> None:
    page.locator("tr[data-variant=capsnet] th a").first.click()
    line = page.locator("#about-capsnet")
    line.wait_for(state="visible")
    assert "dynamic routing" in line.inner_text()


def test_filters_are_kept_in_the_address(page: Page, report: Path) -> None:
    page.locator("input[name=variant]").fill("lin*")
    page.locator("select[name=dataset]").select_option("usps")
    page.locator("select[name=task]").select_option("classification")
    assert address(page) == {"variant": "lin*", "dataset": "usps", "task": "classification"}
    assert variants(page, "classification") == ["linear"]
    assert page.locator("#matrix-table button[data-cell]").count() == 1
    page.goto("about:blank")
    page.goto(f"{(report / 'index.html').as_uri()}#variant=caps*&task=classification")
    assert variants(page, "classification") == ["capsnet"]
    assert page.locator("input[name=variant]").input_value() == "caps*"
    page.get_by_role("button", name="Reset").click()
    assert address(page) == {}
    assert len(variants(page, "prediction")) == 2


def test_a_click_on_a_dataset_sorts_by_it(page: Page) -> None:
    page.locator("#matrix-table th:has([data-sort=mnist])").click(position={"x": 90, "y": 9})
    assert address(page) == {"sort": "mnist"}
    scores = page.locator("[data-task=classification] tr[data-variant] td:nth-child(2) button")
    numbers = [*map(float, scores.all_inner_texts())]
    assert numbers == sorted(numbers, reverse=True)


def test_an_unknown_address_shows_the_usual_matrix(page: Page, report: Path) -> None:
    page.goto("about:blank")
    page.goto(f"{(report / 'index.html').as_uri()}#view=odd&cell=none&sort=none&task=%00")
    assert page.locator("#matrix-table").inner_text().strip()
    assert not page.locator("#drawer").is_visible()


def test_the_pointer_and_the_keyboard_show_the_seeds(page: Page) -> None:
    note = page.locator("#seeds")
    cell(page, "linear-mnist-quick").hover()
    text = note.inner_text()
    assert "3 seeds: " in text
    assert "2,000 of 10,000 test samples" in text
    page.keyboard.press("Escape")
    assert not note.is_visible()
    cell(page, "capsnet-mnist-quick").focus()
    assert "3 seeds: 10, 10.1, 10.2 %" in note.inner_text()


def test_a_cell_opens_a_drawer_with_curves_trials_pictures_and_the_command(
    page: Page, report: Path
) -> None:
    cell(page, "linear-mnist-quick").click()
    drawer = page.locator("#drawer")
    assert address(page) == {"cell": "linear-mnist-quick"}
    command = drawer.locator("code").first.inner_text()
    run = command.split()[2]
    assert command.startswith(f"capsbench reproduce {run} --results '")
    for name in ("spec and record", "metrics by epoch"):
        href = attribute(drawer.locator("a", has_text=name).first, "href")
        assert (report / href).is_file()
        assert run in href
    assert drawer.locator("figure.chart svg[role=img]").count() >= 2
    assert drawer.locator("table tbody tr").count() == 4
    assert attribute(drawer.locator("img"), "src").startswith("data:image/webp;base64,")
    page.go_back()
    drawer.wait_for(state="hidden")
    assert page.locator("#matrix-table").is_visible()  # back closes the drawer, not the page
    assert address(page) == {}
    page.go_forward()
    drawer.wait_for(state="visible")
    page.keyboard.press("Escape")
    drawer.wait_for(state="hidden")
    assert address(page) == {}


def test_a_drawer_keeps_the_filters(page: Page) -> None:
    page.locator("input[name=variant]").fill("linear")
    page.locator("#summary a", has_text="linear").first.click()
    assert address(page)["variant"] == "linear"
    assert address(page)["cell"].startswith("linear-")


def test_the_keyboard_moves_between_cells_and_comes_back_from_the_drawer(page: Page) -> None:
    stops = page.locator("#matrix-table button[data-cell][tabindex='0']")
    assert stops.count() == 1
    stops.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = "document.activeElement.dataset.cell"
    study = page.evaluate(focused)
    assert study == "linear-moving_mnist-quick"  # rows between have no cell there
    page.keyboard.press("Enter")
    assert page.locator("#drawer").is_visible()
    assert page.evaluate("document.getElementById('drawer').contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == study


def test_a_table_sorts_by_number_both_ways_and_keeps_gaps_last(page: Page) -> None:
    page.locator("#leaderboard > summary").click()
    board = page.locator("#leaderboard")

    def means() -> list[str]:
        return board.locator("tbody tr > :nth-child(3)").all_inner_texts()

    board.get_by_role("button", name="mean", exact=True).click()
    *known, last = means()
    assert last == ""
    assert [*map(float, known)] == sorted(map(float, known))
    board.get_by_role("button", name="mean", exact=True).click()
    *known, last = means()
    assert last == ""
    assert [*map(float, known)] == sorted(map(float, known), reverse=True)
    assert board.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_a_table_filters_by_all_words(page: Page) -> None:
    page.locator("#leaderboard > summary").click()
    board = page.locator("#leaderboard")
    board.locator("input").fill("usps LINEAR")
    assert board.locator("tbody th").all_inner_texts() == ["linear"]
    assert re.fullmatch(r"1 of \d+ rows", board.locator("output").inner_text())
    board.locator("tbody a").click()
    assert address(page) == {"cell": "linear-usps-quick"}


def test_hostile_text_is_text(page: Page) -> None:
    open_all(page)
    page.locator("#matrix-table tr", has_text="alert(1)").locator("button").first.click()
    assert address(page) == {"cell": "evil"}
    text = page.locator("body").inner_text()
    assert "<script>alert(1)</script>" in text
    assert "{{ 7 * 7 }}" in text
    assert "شبكة" in page.locator("#drawer").inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_dark_mode_is_dark(page: Page) -> None:
    def paper() -> list[int]:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in color[4:-1].split(",")]

    page.emulate_media(color_scheme="light")
    assert min(paper()) > 200
    page.emulate_media(color_scheme="dark")
    assert max(paper()) < 60


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_overflows(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("location.hash = 'cell=evil'")
    page.locator("#drawer").wait_for(state="visible")
    assert page.evaluate("document.getElementById('drawer').scrollWidth") <= width


def test_all_five_datasets_are_readable_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    inside = "box => box.scrollWidth <= box.clientWidth"
    assert page.locator(".scroll.matrix").evaluate(inside)
    heads = page.locator("#matrix-table thead button")
    assert heads.count() == 5
    for box in map(box_of, heads.all()):
        assert box["x"] + box["width"] <= 390
    score = cell(page, "linear-svhn-quick")
    assert box_of(score)["height"] < 25  # in one line
    assert score.evaluate("b => parseFloat(getComputedStyle(b).fontSize)") >= 12


def test_the_page_takes_at_most_six_screens(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollHeight") <= 6 * 844


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    open_all(page)
    assert serious(page) == []
    cell(page, "linear-mnist-quick").click()
    assert page.locator("#drawer svg").count() > 0
    assert serious(page) == []


def test_the_summary_is_printed_on_two_pages(page: Page) -> None:
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert not page.locator("#leaderboard").is_visible()
    assert page.locator("#matrix-table").is_visible()
    assert 1 <= pages(page.pdf(format="A4")) <= 2


def test_charts_of_a_dataset_are_drawn_when_asked_for(page: Page) -> None:
    assert page.locator("svg").count() == 0
    page.locator("#dataset > summary").click()
    page.locator("#dataset select").select_option(label="mnist: classification, profile quick")
    assert page.locator("#dataset figure.chart").count() == 4
    assert page.locator("#dataset .pictures img").count() == 2
    assert "linear" in (page.locator("#dataset svg").first.text_content() or "")


def test_a_study_of_two_objectives_has_its_front(page: Page, report: Path) -> None:
    page.locator("#costs > summary").click()
    front = page.locator("[data-table=pareto] tbody tr")
    assert "capsnet" in front.first.inner_text()
    assert (report / attribute(front.first.locator("a"), "href")).is_file()


def test_what_mattered_is_a_table(page: Page) -> None:
    page.locator("#settings > summary").click()
    rows = page.locator("#settings tbody tr").all_inner_texts()
    assert [row.split("\t")[3:5] for row in rows] == [["routing", "0.8"], ["learning_rate", "0.2"]]


def test_unfinished_failed_and_stand_in_are_said(page: Page, report: Path) -> None:
    matrix = page.locator("#matrix-table").inner_text()
    assert "0 of 3 finals" in matrix
    assert "stand-in" in matrix
    summary = page.locator("#summary").inner_text()
    assert "1 of 15 cells are not finished." in summary
    assert "Some means are over 3 seeds" in summary
    assert "7 epochs saved by pruning" in page.locator("header").inner_text()
    page.locator("#failures > summary").click()
    assert page.locator("#failures tbody tr").count() == 1
    assert (report / attribute(page.locator("#failures tbody a"), "href")).is_file()


def test_a_cell_that_is_not_above_its_floors_says_so(page: Page) -> None:
    row = page.locator("tr[data-variant=capsnet]").first.inner_text()
    assert "not above 12.5 largest class" in row
    summary = page.locator("#summary").inner_text()
    assert "Not above: capsnet on mnist, usps. Without a final: cnn on usps." in summary
    cell(page, "linear-mnist-quick").click()
    assert "largest class 12.5 %, untrained 10.1 %" in page.locator("#drawer").inner_text()


def test_the_eight_questions_are_answered_within_two_screens_and_a_click(page: Page) -> None:
    """Each answer is in the head, in the summary, in the matrix, or in one drawer."""
    head = page.locator("header").inner_text()
    summary = page.locator("#summary").inner_text()
    line = next(text for text in summary.splitlines() if text.startswith("cifar10"))
    assert "cnn leads: 89.8 % (85.3 to 93.1)" in line  # who is best
    assert "May be best, too: linear 2.8 points behind" in line  # by how much, how certain
    assert "In 95 of 100 such tables" in summary  # and how that is known
    assert "2,000 of 10,000 test samples" in line  # on how many test images
    paper = "capsnet on mnist: 10.1 % here, 99.75 % published, 89.7 points less"
    assert paper in summary  # how far from the paper
    assert "Not comparable, since profile quick trains less than papers do" in summary
    assert "Not above: capsnet on mnist, usps" in summary  # no better than a trivial answer
    assert "Cheaper: the cheapest variant within two points of the best" in summary
    assert re.search(r"runs made: \d{4}-\d\d-\d\d", head)  # version, date, machine
    assert "a processor" in head
    assert "0123456789ab" in head
    page.locator("#summary li", has_text="cifar10").locator("a").first.click()
    assert "reproduce cnn-cifar10-" in page.locator("#drawer code").first.inner_text()
    assert box_of(page.locator("#matrix"))["y"] < 1.5 * 844


def test_single_runs_alone_have_a_list(browser: Browser, tmp_path: Path) -> None:
    files = sweep(variants=("vit",), datasets=("usps",), trials=0, finals=1)
    files.cells = {}
    (record,) = files.records.values()
    record["study"] = None
    build(files.write(tmp_path))
    context = browser.new_context()
    tab = context.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((tmp_path / "report" / "index.html").as_uri())
    assert not tab.locator("#matrix").is_visible()
    tab.locator("#runs tbody tr").wait_for(state="visible")
    assert "single run" in tab.locator("#runs tbody tr").inner_text()
    link = attribute(tab.locator("#runs tbody a"), "href")
    assert (tmp_path / "report" / link).is_file()
    context.close()
    assert errors == []


def test_without_scripts_the_summary_is_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((report / "index.html").as_uri())
    assert tab.locator("#summary li").count() > 6
    assert "need JavaScript" in tab.locator("#matrix").inner_text()
    tab.locator("#files > summary").click()
    for link in tab.locator("#files a").all():
        assert (report / attribute(link, "href")).is_file()
    context.close()
