"""Tests the page in a browser; skipped if Chromium or Playwright is missing."""

import shutil

import numpy as np
import pytest
from PIL import Image
from results_folder import sweep

from reports.build import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202e{{ 7 * 7 }}"


def hostile(files):
    """Makes each text of a cell an attack."""
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
def report(tmp_path_factory):
    """Builds the report of a folder with pictures, a hostile cell and an unfinished one."""
    root = tmp_path_factory.mktemp("results") / "a folder"
    names = ("cnn", "linear", "capsnet", HOSTILE)
    files = hostile(sweep(variants=names, datasets=("mnist",)))
    usps = sweep(variants=names[:3], datasets=("usps",))
    files.add(usps)
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
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, report):
    """Opens the page from disk; fails the test on any error, dialog or request elsewhere."""
    found = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.on("console", lambda message: found.append(message.text))
    tab.on("pageerror", lambda error: found.append(str(error)))
    tab.on("dialog", lambda dialog: (found.append(dialog.message), dialog.dismiss()))
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


BOARD = "leaderboard-classification-quick"


def column(page, name):
    """Returns the texts of a column of the leaderboard, of rows that are shown."""
    heads = page.locator(f"#t-{BOARD} thead th").all_inner_texts()
    place = [head.strip() for head in heads].index(name) + 1
    cells = page.locator(f"#t-{BOARD} tbody tr:not([hidden]) > :nth-child({place})")
    return cells.all_inner_texts()


def means(page):
    """Returns the means that are shown, without intervals."""
    return [text.partition(" ")[0] for text in column(page, "mean")]


def test_a_table_sorts_by_number_both_ways_and_keeps_gaps_last(page):
    button = page.locator(f"#t-{BOARD}").get_by_role("button", name="mean", exact=True)
    button.click()
    *known, last = means(page)
    assert last == ""
    numbers = [*map(float, known)]
    assert numbers == sorted(numbers)
    button.click()
    numbers = [*map(float, means(page)[:-1])]
    assert numbers == sorted(numbers, reverse=True)
    head = page.locator(f"#t-{BOARD} th[aria-sort]")
    assert head.get_attribute("aria-sort") == "descending"


def test_a_table_filters_by_all_words(page):
    page.locator(f"input[data-for=t-{BOARD}]").fill("usps LINEAR")
    assert column(page, "variant") == ["linear"]
    assert page.locator(f"#n-{BOARD}").inner_text() == "1 of 9 rows"
    page.locator(f"input[data-for=t-{BOARD}]").fill("")
    assert len(column(page, "variant")) == 9  # seven cells, a floor of two datasets


def test_a_cell_leads_to_its_runs(page, report):
    page.locator("#matrix td a").filter(has_text="0.").first.click()
    target = page.locator(".cell:target")
    target.wait_for(state="visible")
    command = target.locator("code").first.inner_text()
    run = command.split()[4]
    assert command.startswith(f"python -m benchmarks reproduce {run} --results '")
    for name in ("spec and record", "metrics by epoch"):
        href = target.locator("a", has_text=name).first.get_attribute("href")
        assert (report / href).is_file()
        assert run in href


def test_hostile_text_is_text(page):
    text = page.locator("body").inner_text()
    assert "<script>alert(1)</script>" in text
    assert "{{ 7 * 7 }}" in text
    assert "شبكة" in page.locator("#cells").text_content()
    assert page.locator("img[src=x]").count() == 0


def test_dark_mode_is_dark(page):
    def paper():
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(part) for part in color[4:-1].split(",")]

    page.emulate_media(color_scheme="light")
    assert min(paper()) > 200
    page.emulate_media(color_scheme="dark")
    assert max(paper()) < 60


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_overflows(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (violation["id"], violation["nodes"][0]["html"][:200])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_pictures_stand_side_by_side_and_are_within_the_page(page):
    sources = page.locator("#pictures img").evaluate_all("all => all.map((img) => img.src)")
    assert len(sources) == 2
    assert all(source.startswith("data:image/webp;base64,") for source in sources)


def test_the_settings_that_mattered_are_first_and_lead_to_their_runs(page):
    rows = page.locator("#settings tbody tr")
    assert [text.split() for text in rows.all_inner_texts()] == [
        ["routing", "linear", "3", "80%", "3"],
        ["learning_rate", "linear", "0.001000", "20%", "0.001000"],
    ]
    heat = "cell => cell.style.getPropertyValue('--heat')"
    assert rows.first.locator("td").first.evaluate(heat) == "80%"
    rows.first.locator("td a").first.click()
    assert "linear on mnist" in page.locator("details:has(.cell:target) summary").inner_text()


def test_a_study_of_two_objectives_has_its_front(page, report):
    link = page.locator("#t-pareto tbody tr a").first
    assert (report / link.get_attribute("href")).is_file()
    assert "capsnet" in page.locator("#t-pareto tbody").inner_text()


def test_a_long_text_takes_a_line_until_it_is_asked_for(page):
    row = page.locator("#t-published tbody tr").first
    before = row.bounding_box()["height"]
    assert before < 60
    row.locator("summary").first.click()
    assert row.bounding_box()["height"] > before


def test_a_leaderboard_keeps_the_variant_in_sight(page):
    page.set_viewport_size({"width": 390, "height": 844})
    board = page.locator(f".scroll:has(#t-{BOARD})")
    name = board.locator("tbody th").first
    before = name.bounding_box()["x"]
    board.evaluate("board => board.scrollLeft = 300")
    assert name.bounding_box()["x"] == before


def test_unfinished_failed_and_stand_in_are_said(page, report):
    assert "0 of 3 finals" in page.locator("#matrix").inner_text()
    assert "1 of 7 cells are not finished." in page.locator("header").inner_text()
    assert "Some means are over 3 seeds" in page.locator("header").inner_text()
    assert page.locator("#t-failures tbody tr").count() == 1
    href = page.locator("#t-failures tbody a").get_attribute("href")
    assert (report / href).is_file()
    assert "n\xa0=\xa03, stand-in" in page.locator("#matrix").inner_text()
    head = page.locator("header").inner_text()
    assert "7 epochs saved by pruning" in head
    assert (
        "hyper-parameters for classification are the best of 4 to 20 trials on validation data"
        in head
    )


def test_floors_stand_below_variants_and_are_no_links(page):
    rows = page.locator("#matrix tbody tr").all_inner_texts()
    assert rows[-1].split("\t")[0] == "floor: largest class"
    assert "0.1250" in rows[-1]
    assert page.locator("#matrix tbody tr").last.locator("a").count() == 0
    assert "† 0.1" in next(row for row in rows if row.startswith("capsnet"))
    assert "untrained 0.1010" in next(row for row in rows if row.startswith("linear"))
    names = column(page, "variant")
    assert names.count("floor: largest class") == 2
    head = page.locator("header").inner_text()
    assert "4 of 7 cells of trained variants are above all their floors." in head
    assert "Not above: capsnet on mnist, usps. Without a final: cnn on usps." in head


def test_the_page_prints(page):
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert len(page.pdf()) > 10_000


def test_without_scripts_all_is_there(browser, report):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((report / "index.html").as_uri())
    assert tab.locator(f"#t-{BOARD} tbody tr").count() == 9
    tab.locator("#matrix td a").filter(has_text="0.").first.click()
    assert tab.url.partition("#")[2].startswith("cell-")
    context.close()
